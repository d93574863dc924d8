# shellcheck shell=bash
# How other systems get what a part needs; printed where this machine has no Debian mirror to unpack packages from.

# hint PART: one line, for the first package manager that this machine has.
hint() {
    local manager
    for manager in apt-get dnf pacman apk brew nix-env zypper; do
        command -v "$manager" >/dev/null && break
        manager=
    done
    case $1:$manager in
    rust:apt-get) printf 'apt-get install gcc libc6-dev cargo   (or, where cargo is older than 1.85, rustup from https://rustup.rs)' ;;
    rust:dnf) printf 'dnf install gcc cargo' ;;
    rust:pacman) printf 'pacman -S gcc rust' ;;
    rust:apk) printf 'apk add build-base cargo' ;;
    rust:brew) printf 'xcode-select --install && brew install rust' ;;
    rust:nix-env) printf 'nix-shell -p cargo rustc gcc' ;;
    rust:zypper) printf 'zypper install gcc cargo' ;;
    rust:*) printf 'a C compiler, and rustup from https://rustup.rs' ;;
    otp:apt-get) printf 'apt-get install elixir erlang   (where they are Elixir >= 1.17 and OTP >= 26; else https://elixir-lang.org/install.html)' ;;
    otp:dnf) printf 'dnf install elixir erlang' ;;
    otp:pacman) printf 'pacman -S elixir' ;;
    otp:apk) printf 'apk add elixir erlang-dev' ;;
    otp:brew) printf 'brew install elixir' ;;
    otp:nix-env) printf 'nix-shell -p elixir' ;;
    otp:zypper) printf 'zypper install elixir erlang' ;;
    otp:*) printf 'https://elixir-lang.org/install.html' ;;
    node:apt-get) printf 'apt-get install nodejs npm   (where they are Node.js >= 20)' ;;
    node:*) printf 'https://nodejs.org' ;;
    browser:*) printf 'none here: the browser check is skipped without Debian packages' ;;
    khepri:*) printf 'fetch khepri and its dependencies with Hex ({:khepri, "~> 0.18"}), then ERL_LIBS=<project>/_build/dev/lib' ;;
    godot:dnf) printf 'dnf install godot   (or a build from https://godotengine.org, then SIDEKICK_GODOT=/path/to/it)' ;;
    godot:pacman) printf 'pacman -S godot' ;;
    godot:brew) printf 'brew install --cask godot, then SIDEKICK_GODOT=/path/to/it' ;;
    godot:nix-env) printf 'nix-shell -p godot_4' ;;
    godot:*) printf 'a Linux build from https://godotengine.org, then SIDEKICK_GODOT=/path/to/it' ;;
    postgres:apt-get) printf 'apt-get install postgresql' ;;
    postgres:dnf) printf 'dnf install postgresql-server' ;;
    postgres:pacman) printf 'pacman -S postgresql' ;;
    postgres:apk) printf 'apk add postgresql' ;;
    postgres:brew) printf 'brew install postgresql' ;;
    postgres:nix-env) printf 'nix-shell -p postgresql' ;;
    postgres:zypper) printf 'zypper install postgresql-server' ;;
    postgres:*) printf 'PostgreSQL >= 13, then SIDEKICK_PG_BIN=/directory/of/initdb' ;;
    python:nix-env) printf 'nix-shell -p python3' ;;
    python:pacman) printf 'pacman -S python' ;;
    python:?*) printf '%s install python3' "$manager" ;;
    python:*) printf 'Python >= 3.9' ;;
    addr2line:pacman) printf 'pacman -S binutils' ;;
    addr2line:apk) printf 'apk add binutils' ;;
    addr2line:brew) printf 'brew install binutils' ;;
    addr2line:nix-env) printf 'nix-shell -p binutils' ;;
    addr2line:?*) printf '%s install binutils' "$manager" ;;
    addr2line:*) printf 'GNU binutils, from your package manager' ;;
    esac
}
