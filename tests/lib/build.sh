#!/usr/bin/env bash
# build.sh: builds the module out of tree and prints the path of mmsession.so.
#
# The build folder's name is the hash of all that decides the result, so an unchanged tree costs nothing.
# MMS_BUILD_DIR: where builds are kept. MMS_PHPIZE, MMS_PHP_CONFIG: another PHP. MMS_CFLAGS: other flags. MMS_CONFIGURE: further
# options of configure.
set -euo pipefail

top=$(cd "$(dirname "$0")/../.." && pwd)
base=${MMS_BUILD_DIR:-${TMPDIR:-/tmp}/mms-build-$(id -u)}
phpize=${MMS_PHPIZE:-phpize}
php_config=${MMS_PHP_CONFIG:-php-config}
cflags=${MMS_CFLAGS:--O2 -g}

# A release tarball has no git: there every file of the build's folders counts.
sources() {
    cd "$top"
    if git rev-parse --is-inside-work-tree >/dev/null 2>&1; then
        git ls-files -co --exclude-standard -- config.m4 src ext LICENSE CREDITS
    else
        find config.m4 src ext -type f
    fi | sort -u | while read -r file; do
        if [ -f "$file" ]; then printf '%s\n' "$file"; fi
    done
}

key() {
    {
        printf '%s\n' "$cflags" "${MMS_CONFIGURE:-}" "$("$php_config" --version)" "$("$php_config" --extension-dir)"
        pkg-config --modversion hiredis libevent libssl 2>/dev/null || true
        (cd "$top" && sources | tr '\n' '\0' | xargs -0 sha256sum)
    } | sha256sum | cut -c1-16
}

# Each step returns by itself: "set -e" does not count inside an "if".
build_in() {
    local folder=$1
    rm -rf "$folder" || return
    mkdir -p "$folder" || return
    (cd "$top" && sources | tar -cf - -T -) | tar -xf - -C "$folder" || return
    cd "$folder" || return
    "$phpize" || return
    # shellcheck disable=SC2086
    ./configure --enable-mmsession --enable-mmsession-dev ${MMS_CONFIGURE:-} --with-php-config="$(command -v "$php_config")" || return
    make -j2 CFLAGS="$cflags" || return
    # A file that config.m4 does not name would only be missed when a worker calls into it.
    if nm -D --undefined-only modules/mmsession.so | grep ' U mms_'; then
        echo "error: undefined symbols of our own"
        return 1
    fi
    [ -f modules/mmsession.so ]
}

folder=$base/$(key)
module=$folder/modules/mmsession.so
mkdir -p "$base"
exec 9>"$base/lock"
flock 9
if [ ! -f "$folder/complete" ] || [ ! -f "$module" ]; then
    echo "build: $folder" >&2
    find "$base" -mindepth 1 -maxdepth 1 -type d -mtime +2 -exec rm -rf {} +
    if ! (build_in "$folder") >"$folder.log" 2>&1; then
        { grep -E '(error|fatal error|configure: error): |^error: ' "$folder.log" || tail -n 20 "$folder.log"; } |
            cut -c1-300 | head -n 20 >&2
        echo "build: failed, log: $folder.log" >&2
        exit 1
    fi
    chmod -R a+rX "$folder"
    touch "$folder/complete"
fi
printf '%s\n' "$module"
