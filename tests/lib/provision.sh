#!/usr/bin/env bash
# provision.sh [need...]: installs what is missing on Debian 12, and does nothing when all is there.
# Without arguments all that tests/run needs; "demo" leaves out the tools that only tests need, "bench" adds what
# tests/bench compares with.
# valkey-server and keydb-server are used where they are found, never installed.
set -euo pipefail

# What must be there -> Debian package that brings it. A path that ends in .h or .a is a file, else a command.
demo_needs="
php:php8.2-cli php-fpm8.2:php8.2-fpm phpize:php8.2-dev redis-server:redis-server nginx:nginx-light
gcc:gcc make:make pkg-config:pkg-config python3:python3 ip:iproute2 nft:nftables
/usr/include/hiredis/hiredis.h:libhiredis-dev /usr/include/event2/event.h:libevent-dev
/usr/include/isa-l/crc.h:libisal-dev /usr/include/openssl/ssl.h:libssl-dev openssl:openssl
setpriv:util-linux flock:util-linux
"
test_needs="
clang:clang memcached:memcached valgrind:valgrind curl:curl strace:strace git:git pecl:php-pear
/usr/share/i18n/locales/da_DK:locales /usr/include/cmocka.h:libcmocka-dev /usr/include/lua5.1/lua.h:liblua5.1-0-dev /usr/lib/python3/dist-packages/pytest:python3-pytest
/usr/lib/llvm-14/lib/clang/14/lib/linux/libclang_rt.fuzzer-x86_64.a:libclang-rt-14-dev
"

bench_needs="
wrk:wrk gnuplot:gnuplot-nox
"

present() {
    case "$1" in
    /*libclang_rt*) ls /usr/lib/llvm-14/lib/clang/*/lib/linux/libclang_rt.fuzzer-*.a >/dev/null 2>&1 ;;
    /*) [ -e "$1" ] ;;
    php-fpm8.2) command -v php-fpm8.2 >/dev/null || command -v php-fpm >/dev/null || [ -n "${MMS_PHP_FPM:-}" ] ;;
    *) command -v "$1" >/dev/null ;;
    esac
}

extension_present() {
    # Not through "grep -q": it leaves early, php dies of SIGPIPE, and pipefail calls that absent.
    [ "$(php -r 'echo (int) extension_loaded($argv[1]);' "$1" 2>/dev/null)" = 1 ]
}

missing_packages() {
    local pair
    for pair in $1; do
        present "${pair%%:*}" || printf '%s\n' "${pair#*:}"
    done
    extension_present redis || echo php-redis
    case "$1" in *memcached*) extension_present memcached || echo php-memcached ;; esac
}

# Only services that this installation started are stopped again; what ran before goes on.
services="redis-server nginx php8.2-fpm memcached"
running_services() {
    local service
    [ -d /run/systemd/system ] || return 0
    for service in $services; do
        if systemctl is-active --quiet "$service"; then echo "$service"; fi
    done
}

install_packages() {
    local before after log
    before=" $(running_services | tr '\n' ' ')"
    log=$(mktemp)
    export DEBIAN_FRONTEND=noninteractive
    if ! { apt-get update && apt-get install -y --no-install-recommends "$@"; } >"$log" 2>&1; then
        tail -n 20 "$log" >&2
        echo "provision: apt-get could not install: $*" >&2
        rm -f "$log"
        return 1
    fi
    rm -f "$log"
    after=$(running_services)
    for service in $after; do
        case "$before" in *" $service "*) ;; *) systemctl disable --now --quiet "$service" ;; esac
    done
    stop_daemons_without_systemd
}

# Without systemd the packages start their servers through invoke-rc.d, unless policy-rc.d forbids it.
redis_before=$(cat /run/redis/redis-server.pid 2>/dev/null || true)
memcached_before=$(cat /run/memcached/memcached.pid 2>/dev/null || true)
nginx_before=$(cat /run/nginx.pid 2>/dev/null || true)
fpm_before=$(cat /run/php/php8.2-fpm.pid 2>/dev/null || true)
stop_daemons_without_systemd() {
    [ -d /run/systemd/system ] && return 0
    stop_new /run/redis/redis-server.pid "$redis_before"
    stop_new /run/memcached/memcached.pid "$memcached_before"
    stop_new /run/nginx.pid "$nginx_before"
    stop_new /run/php/php8.2-fpm.pid "$fpm_before"
}

stop_new() {
    local pid
    pid=$(cat "$1" 2>/dev/null || true)
    if [ -n "$pid" ] && [ "$pid" != "$2" ]; then kill "$pid" 2>/dev/null || true; fi
}

needs=$demo_needs
[ "${1:-all}" = demo ] || needs="$needs $test_needs"
[ "${1:-all}" != bench ] || needs="$needs $bench_needs"
mapfile -t packages < <(missing_packages "$needs" | sort -u)
[ "${#packages[@]}" -gt 0 ] || exit 0

if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
    echo "provision: missing: ${packages[*]}" >&2
    echo "provision: as root: apt-get install --no-install-recommends ${packages[*]}" >&2
    exit 1
fi
echo "provision: installing ${packages[*]}" >&2
install_packages "${packages[@]}"
