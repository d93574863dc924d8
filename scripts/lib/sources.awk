# Rewrites the machine's own Debian source so that it names another suite (-v suite=...), and nothing else: address, keyring and options
# stay as they are. Reads one apt source file; -v format=list is the one-line form, -v format=sources is deb822. Prints the first
# source that serves a Debian release, if any: security, updates and backports archives do not hold other releases.

BEGIN {
    if (format == "sources") { RS = ""; FS = "\n" }
    releases = " oldoldstable oldstable stable testing unstable sid buster bullseye bookworm trixie forky duke " codename " "
}

function has_release(suites,    n, part, i) {
    n = split(suites, part, /[ \t\n]+/)
    for (i = 1; i <= n; i++)
        if (part[i] != "" && index(releases, " " part[i] " ")) return 1
    return 0
}

function has_word(text, word) { return (" " text " ") ~ ("[ \t\n]" word "[ \t\n]") }

# deb [arch=amd64 signed-by=/...] http://mirror/debian bookworm main contrib
format == "list" && $1 == "deb" {
    line = $0
    sub(/^[ \t]*deb[ \t]+/, "", line)
    sub(/[ \t]*#.*$/, "", line)
    options = ""
    if (match(line, /^\[[^]]*\]/)) {
        options = substr(line, 2, RLENGTH - 2)
        line = substr(line, RLENGTH + 1)
    }
    sub(/^[ \t]+/, "", line)
    n = split(line, part, /[ \t]+/)
    components = ""
    for (i = 3; i <= n; i++) components = components " " part[i]
    if (!has_release(part[2]) || !has_word(components, "main") || part[1] ~ /^cdrom:/) next
    # Only package lists are wanted: no icons, no translations, no file lists.
    print "deb [ " options " target=Packages ] " part[1] " " suite " main"
    exit
}

format == "sources" {
    kept = ""; field = ""; types = ""; suites = ""; components = ""; enabled = "yes"
    for (i = 1; i <= NF; i++) {
        if ($i ~ /^#/) continue
        if ($i !~ /^[ \t]/) field = tolower(substr($i, 1, index($i, ":") - 1))
        value = $i
        if ($i !~ /^[ \t]/) sub(/^[^:]*:[ \t]*/, "", value)
        if (field == "types") types = types " " value
        else if (field == "suites") suites = suites " " value
        else if (field == "components") components = components " " value
        else if (field == "enabled") enabled = tolower(value)
        else if (field != "targets" && field != "languages") kept = kept $i "\n"
    }
    if (enabled ~ /^(no|false|0)/ || !has_word(types, "deb") || !has_release(suites) || !has_word(components, "main")) next
    printf "Types: deb\nSuites: %s\nComponents: main\nTargets: Packages\n%s", suite, kept
    exit
}
