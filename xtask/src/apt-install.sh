# Installs the packages that are given as arguments. Runs as root.
set -eu
export DEBIAN_FRONTEND=noninteractive

# Debian starts a server as soon as it is installed. The tests start brokers of their own, and a developer's machine should
# not get one that listens all day: while this runs, Debian's own switch says no. One that is there already is left alone.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    trap 'rm -f "$policy"' EXIT
    trap 'exit 130' INT TERM
    printf '#!/bin/sh\ncase "$1" in rabbitmq-server | prometheus*) exit 101 ;; esac\nexit 0\n' >"$policy"
    chmod 755 "$policy"
fi

# An old or broken list of some other source need not stop us: the installation says so if it does.
apt="apt-get -q -y -o DPkg::Lock::Timeout=120 -o Dpkg::Use-Pty=0"
$apt update || echo "apt-get update failed; trying to install all the same"
$apt install --no-install-recommends "$@"

# Nor should it start with the machine.
for package in "$@"; do
    case "$package" in
    rabbitmq-server | prometheus)
        if command -v systemctl >/dev/null; then
            systemctl --quiet disable "$package" || true
            echo "$package is installed but not enabled (systemctl enable --now $package starts it)"
        fi
        ;;
    esac
done
