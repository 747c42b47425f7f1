# Sourced. mms_python: the Python that has Debian's pytest; a version manager's python3 may come first in PATH.
mms_python() {
    local candidate
    for candidate in "${MMS_PYTHON:-}" /usr/bin/python3 python3; do
        if [ -n "$candidate" ] && "$candidate" -c 'import sys; assert sys.version_info >= (3, 9)' 2>/dev/null; then
            printf '%s\n' "$candidate"
            return
        fi
    done
    echo "python3 (3.9 or later) is missing" >&2
    return 1
}
