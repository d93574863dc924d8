# shellcheck shell=bash
# A loopback port that nobody listens on, for a port mapper of our own. It must be known before Erlang starts.
free_port() {
    local port
    while port=$((20000 + RANDOM % 10000)); do
        (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || break
    done
    printf '%s' "$port"
}
