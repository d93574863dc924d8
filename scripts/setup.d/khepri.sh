# shellcheck shell=bash disable=SC2034,SC2154 # setup reads these variables by name
# Part: Khepri, the BEAM side's store, as compiled applications in ERL_LIBS. Debian has no package of it, but RabbitMQ's broker brings it
# along: that package is unpacked for these applications alone, never installed, and no broker runs.

khepri_title='Khepri and the applications it needs'
khepri_recipe=2
# Ra before 2.16.2, as stable has it, loses what it acknowledged (docs/SAFETY.md). What testing has was compiled by a newer OTP.
khepri_suite=testing
khepri_package=rabbitmq-server
khepri_apps=(khepri ra horus seshat aten gen_batch_server)

khepri_version_of() {
    local app
    for app in "$1"/khepri/ebin/khepri.app "$1"/khepri-[0-9]*/ebin/khepri.app; do
        [[ -r $app ]] && sed -n 's/.*{vsn,[^"]*"\([^"]*\)".*/\1/p' "$app" && return
    done
}

khepri_machine() {
    local dir app
    local -a dirs
    IFS=: read -ra dirs <<<"${ERL_LIBS:-}"
    WHY[khepri]='not in ERL_LIBS'
    for dir in "${dirs[@]}"; do
        [[ $dir && $(khepri_version_of "$dir") ]] || continue
        for app in "${khepri_apps[@]}"; do
            compgen -G "$dir/$app*/ebin/$app.app" >/dev/null || { WHY[khepri]="$dir in ERL_LIBS has khepri, but not $app"; continue 2; }
        done
        AT[khepri]=$dir
        VERSION[khepri]="khepri $(khepri_version_of "$dir")"
        return
    done
    return 1
}

khepri_prefix_version() {
    printf 'khepri %s\n' "$(khepri_version_of "$1/erl_libs")"
}

khepri_build() {
    local tree=$1 out=$2 app
    debs_unpack "$khepri_suite" "$tree" rabbitmq-server
    mkdir -p "$out/erl_libs"
    for app in "${khepri_apps[@]}"; do
        mv "$tree"/usr/lib/rabbitmq/lib/rabbitmq_server-*/plugins/"$app"-[0-9]* "$out/erl_libs/"
    done
    with_otp escript scripts/lib/recompile.escript "$out/erl_libs" >&2
}

# Tried with the OTP that will run it: what a newer OTP compiled may not load on an older one.
khepri_verify() {
    local prefix=$1 said data=$WORK/khepri-data
    said=$(with_otp ERL_LIBS="$prefix/erl_libs" KHEPRI_DATA="$data" ERL_CRASH_DUMP=/dev/null timeout 60 erl -noshell -eval '
        logger:set_primary_config(level, error),
        {ok, Store} = khepri:start(os:getenv("KHEPRI_DATA")),
        ok = khepri:put(Store, [sidekick, <<"key">>], 42),
        {ok, 42} = khepri:get(Store, [sidekick, <<"key">>]),
        {ok, ok} = khepri:transaction(Store, fun() -> khepri_tx:put([sidekick, <<"key">>], 43) end),
        {ok, 43} = khepri:get(Store, [sidekick, <<"key">>]),
        ok = khepri:stop(Store), io:put_chars("stored"), halt().' 2>&1) || true
    rm -rf "$data"
    [[ $said == *stored ]] && return
    printf '%s\n' "$said" >&2
    return 1
}

khepri_exports() {
    [[ ${FROM[khepri]} == prefix ]] || return 0
    export_line ERL_LIBS "${AT[khepri]}/erl_libs${ERL_LIBS:+:$ERL_LIBS}"
}
