# shellcheck shell=bash disable=SC2034,SC2154 # setup reads these variables by name
# Part: a PostgreSQL server >= 13 for the tests of the SQL sink. Only its programs: each test makes a cluster of its own.

postgres_title='PostgreSQL server programs'
postgres_recipe=1
postgres_suite=trixie
postgres_package=postgresql-17

# Empty unless DIR has all programs that tests start.
postgres_version_of() {
    local program
    for program in postgres initdb pg_ctl psql; do
        [[ -x $1/$program ]] || return 0
    done
    # "postgres (PostgreSQL) 15.14 (Debian 15.14-0+deb12u1)"
    "$1/postgres" --version 2>/dev/null | awk '{ print $3 }'
}

postgres_machine() {
    local dir version
    local -a dirs=()
    if [[ ${SIDEKICK_PG_BIN:-} ]]; then
        [[ $(postgres_version_of "$SIDEKICK_PG_BIN") ]] || die "SIDEKICK_PG_BIN=$SIDEKICK_PG_BIN has no postgres, initdb, pg_ctl and psql"
        dirs+=("$SIDEKICK_PG_BIN")
    fi
    # Debian, Fedora and others keep the server's programs off PATH; newest release first.
    mapfile -t -O "${#dirs[@]}" dirs < <(compgen -G '/usr/lib/postgresql/*/bin' | sort -Vr; compgen -G '/usr/pgsql-*/bin' | sort -Vr)
    dir=$(command -v postgres) && dirs+=("$(dirname "$(realpath "$dir")")")
    WHY[postgres]='no server programs (postgres, initdb, pg_ctl, psql) found'
    for dir in "${dirs[@]}"; do
        [[ $dir ]] || continue
        version=$(postgres_version_of "$dir")
        [[ $version ]] || continue
        version_at_least "$version" 13 || { WHY[postgres]="PostgreSQL $version is older than 13"; continue; }
        AT[postgres]=$dir
        VERSION[postgres]="PostgreSQL $version"
        return
    done
    return 1
}

postgres_prefix_version() {
    local version=${1##*/postgres-"$postgres_suite"-}
    printf 'PostgreSQL %s\n' "${version%%[!0-9.]*}"
}

postgres_build() {
    local tree=$1 out=$2 final=$3
    debs_unpack_closure trixie "$tree" '^(lib|zlib1g$|postgresql-17$|postgresql-client-17$)' '^lib(llvm|perl|python)' postgresql-17
    # The server finds its libraries and its share directory relative to its own place, so the layout stays Debian's.
    mkdir -p "$out/usr/lib" "$out/usr/share" "$out/bin"
    mv "$tree/usr/lib/postgresql" "$out/usr/lib/"
    mv "$tree/usr/share/postgresql" "$out/usr/share/"
    # Without LLVM, which is twice as large as all the rest, the server does not compile queries.
    rm -rf "$out"/usr/lib/postgresql/17/lib/{llvmjit*,bitcode}
    ln -s ../usr/lib/postgresql/17/bin/psql "$out/bin/psql"
    prefix_libraries "$tree" "$out"
    prefix_patch "$out" "$final"
}

# The server refuses to run as root, so root tries only that the programs start; anyone else makes a cluster and asks it something.
postgres_verify() {
    local bin=$1/usr/lib/postgresql/17/bin data=$WORK/pg-data said
    said=$("$bin/psql" --version 2>&1 && "$bin/postgres" --version 2>&1) || { printf '%s\n' "$said" >&2; return 1; }
    ((EUID == 0)) && return
    said=$(LC_ALL=C.UTF-8 "$bin/initdb" -D "$data" -U sidekick -A trust --no-sync 2>&1 &&
        printf 'select 6 * 7;\n' | "$bin/postgres" --single -D "$data" postgres 2>&1)
    rm -rf "$data"
    [[ $said == *42* ]] && return
    printf '%s\n' "$said" >&2
    return 1
}

postgres_exports() {
    local dir=${AT[postgres]}
    [[ ${FROM[postgres]} == prefix ]] && dir+=/usr/lib/postgresql/17/bin
    export_line SIDEKICK_PG_BIN "$dir"
}
