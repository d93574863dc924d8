# shellcheck shell=bash disable=SC2034,SC2154 # setup reads these variables by name
# Part: Erlang/OTP >= 26 with Elixir >= 1.17, taken as a pair because Elixir's release decides which OTP releases it runs on.

otp_title='Erlang/OTP and Elixir'
otp_recipe=2
otp_suite=trixie
otp_package=erlang-base

# What mix, sidekick's Elixir side and Khepri load at run time; distributions split them into many packages.
otp_apps=(compiler crypto asn1 public_key ssl inets tools runtime_tools parsetools syntax_tools xmerl eunit os_mon)

# The same in Debian's names; erlang-base holds kernel, stdlib, sasl, compiler and erl_interface. Phoenix reads headers of public_key
# while it compiles, and Debian keeps all headers in erlang-dev.
otp_packages=(elixir erlang-{base,crypto,asn1,public-key,ssl,inets,tools,runtime-tools,parsetools,syntax-tools,xmerl,eunit,os-mon,mnesia,dev})

# Says which OTP a directory is the root of, without starting it: a start costs half a second.
otp_version_of() {
    local file
    for file in "$1"/releases/*/OTP_VERSION; do
        [[ -r $file ]] && printf '%s\n' "$(<"$file")" && return
    done
    # OTP_VERSION is missing from some packages; the releases file always has the major number.
    sed -n 's/^ *\[{release,"[^"]*","\([0-9]*\)".*/\1/p' "$1/releases/RELEASES" 2>/dev/null | head -n 1
}

# The OTP root and the Elixir version behind the programs on PATH. Shims of version managers say nothing by their place: ask them.
otp_root_of() {
    local root
    root=$(dirname "$(dirname "$(realpath "$1")")")
    [[ -d $root/releases ]] || root=$("$1" -noshell -eval 'io:put_chars(code:root_dir()), halt().' 2>/dev/null) || return 1
    printf '%s\n' "$root"
}

elixir_version_of() {
    local app vsn=''
    app=$(dirname "$(dirname "$(realpath "$1")")")/lib/elixir/ebin/elixir.app
    [[ -r $app ]] && vsn=$(sed -n 's/.*{vsn,[^"]*"\([^"]*\)".*/\1/p' "$app" | head -n 1)
    [[ $vsn ]] || vsn=$("$1" --short-version 2>/dev/null) || return 1
    printf '%s\n' "$vsn"
}

otp_machine() {
    local root version elixir app
    command -v erl >/dev/null || { WHY[otp]='no erl on PATH'; return 1; }
    root=$(otp_root_of "$(command -v erl)") || { WHY[otp]='erl on PATH does not start'; return 1; }
    version=$(otp_version_of "$root")
    version_at_least "${version:-0}" 26 || { WHY[otp]="OTP ${version:-of unknown version} is older than 26"; return 1; }
    for app in "${otp_apps[@]}"; do
        compgen -G "$root/lib/$app-*" >/dev/null || { WHY[otp]="OTP $version in $root lacks the application $app"; return 1; }
    done
    command -v mix >/dev/null || { WHY[otp]="OTP $version is there, but no mix on PATH"; return 1; }
    elixir=$(elixir_version_of "$(command -v elixir)") || { WHY[otp]='elixir on PATH does not start'; return 1; }
    version_at_least "$elixir" 1.17 || { WHY[otp]="Elixir $elixir is older than 1.17"; return 1; }
    AT[otp]=$root
    VERSION[otp]="OTP $version, Elixir $elixir"
}

otp_prefix_version() {
    printf 'OTP %s, Elixir %s\n' "$(otp_version_of "$1/usr/lib/erlang")" "$(elixir_version_of "$1/usr/lib/elixir/bin/elixir")"
}

otp_build() { otp_build_from "$otp_suite" "$@"; }

# otp_build_from SUITE TREE OUT FINAL: scripts/otp-matrix builds other suites by the same recipe.
otp_build_from() {
    local suite=$1 tree=$2 out=$3 final=$4 link
    debs_unpack_closure "$suite" "$tree" '^(lib|zlib1g$|erlang-|elixir$)' '^libpython' "${otp_packages[@]}"
    # Observer's back end and etop work without its windows, whose closure is a desktop.
    debs_unpack "$suite" "$tree" erlang-observer
    mkdir -p "$out/usr/lib" "$out/bin"
    mv "$tree/usr/lib/erlang" "$tree/usr/lib/elixir" "$out/usr/lib/"
    # The same scripts twice: in bin/ and in erts-*/bin/.
    sed -i "s|/usr/lib/erlang|$final/usr/lib/erlang|g" "$out"/usr/lib/erlang/{bin,erts-*/bin}/{erl,start} \
        "$out/usr/lib/erlang/releases/RELEASES"
    for link in "$out"/usr/lib/erlang/bin/{erl,erlc,escript,epmd,run_erl,to_erl} "$out"/usr/lib/elixir/bin/*; do
        ln -s "../${link#"$out"/}" "$out/bin/"
    done
    prefix_libraries "$tree" "$out"
    prefix_patch "$out" "$final"
}

otp_verify() {
    local prefix=$1 said
    said=$(PATH=$prefix/bin:$PATH LC_ALL=C.UTF-8 ERL_CRASH_DUMP=/dev/null timeout 60 elixir -e '
        for app <- [:crypto, :ssl, :tools, :os_mon], do: {:ok, _} = Application.ensure_all_started(app)
        true = is_binary(:crypto.strong_rand_bytes(8))
        IO.puts("all started")' 2>&1) || true
    [[ $said == *'all started'* ]] && return
    printf '%s\n' "$said" >&2
    return 1
}

otp_exports() {
    if [[ ${FROM[otp]} == prefix ]]; then
        prepend_path "${AT[otp]}/bin"
    fi
    # A VM that starts in a latin1 locale mangles file names and what Elixir prints.
    [[ $(locale charmap 2>/dev/null) == UTF-8 ]] || export_line LC_ALL C.UTF-8
}
