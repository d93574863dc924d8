# shellcheck shell=bash disable=SC2034,SC2154 # setup reads these variables by name
# Part: Node.js >= 20 with npm, for the check of pages in a browser (only with --browser).

node_title='Node.js with npm'
node_recipe=1
node_suite=trixie
node_package=nodejs

node_machine() {
    local version npm
    WHY[node]='no node on PATH'
    version=$(node --version 2>/dev/null) || return 1
    npm=$(npm --version 2>/dev/null) || { WHY[node]="node $version has no npm beside it"; return 1; }
    version_at_least "${version#v}" 20 || { WHY[node]="node $version is older than 20"; return 1; }
    AT[node]=$(command -v node)
    VERSION[node]="Node.js ${version#v} with npm $npm"
}

node_prefix_version() {
    local version=${1##*/node-"$node_suite"-}
    printf 'Node.js %s with npm\n' "${version%%[!0-9.]*}"
}

# npm's own modules are Debian packages too; they find each other by NODE_PATH. Debian's node reads parts of its own library from
# /usr/share/nodejs at start, by a path that is compiled in: a path of the same length stands for the directory that the wrapper opens.
node_build() {
    local tree=$1 out=$2 final=$3
    debs_unpack_closure trixie "$tree" '^(lib|zlib1g$|node|npm$)' '^(lib(perl|python|gcc-1|llvm)|nodejs-doc$)' nodejs npm
    mkdir -p "$out/usr/bin" "$out/usr/share" "$out/bin"
    mv "$tree/usr/bin/node" "$out/usr/bin/node"
    mv "$tree/usr/share/nodejs" "$out/usr/share/"
    [[ -d $tree/usr/share/node_modules ]] && mv "$tree/usr/share/node_modules" "$out/usr/share/"
    prefix_libraries "$tree" "$out"
    prefix_patch "$out" "$final"
    LC_ALL=C sed -i 's#/usr/share/nodejs/#/proc/self/fd/9///#g' "$out/usr/bin/node" "$out"/lib/libnode.so.*
    cat >"$out/bin/node" <<NODE
#!/bin/sh
exec $final/usr/bin/node "\$@" 9<$final/usr/share/nodejs
NODE
    cat >"$out/bin/npm" <<NPM
#!/bin/sh
NODE_PATH=$final/usr/share/nodejs exec $final/bin/node $final/usr/share/nodejs/npm/bin/npm-cli.js "\$@"
NPM
    chmod +x "$out/bin/node" "$out/bin/npm"
}

node_verify() {
    local said
    said=$("$1/bin/node" -p '6 * 7' 2>&1 && PATH=$1/bin:$PATH "$1/bin/npm" --version 2>&1) || { printf '%s\n' "$said" >&2; return 1; }
    [[ $said == 42* ]]
}

node_exports() { [[ ${FROM[node]} == machine ]] || prepend_path "${AT[node]}/bin"; }
