#!/bin/sh
# Makes the users of `permissions` beside this script, with passwords from the environment, or gives
# those that exist these passwords and permissions. A user without a password is left alone.
#
#   make-users.sh [VHOST [NAMESPACE [PREFIX]]]
#
# NAMESPACE is what ANDON_NAMESPACE says; PREFIX is put before each user's name.
set -eu
vhost=${1:-/}
namespace=${2:-andon}
prefix=${3:-}

while read -r user variable configure write read <&3; do
    case $user in '#'* | '') continue ;; esac
    eval "password=\${$variable:-}"
    [ -n "$password" ] || continue
    # By standard input, which no list of processes shows.
    if rabbitmqctl --quiet list_users | cut -f 1 | grep -qx "$prefix$user"; then
        printf '%s\n' "$password" | rabbitmqctl --quiet change_password "$prefix$user"
    else
        printf '%s\n' "$password" | rabbitmqctl --quiet add_user "$prefix$user"
    fi
    set --
    for pattern in "$configure" "$write" "$read"; do
        [ "$pattern" = - ] && pattern='^$'
        set -- "$@" "$(printf %s "$pattern" | sed "s/andon/$namespace/g")"
    done
    rabbitmqctl --quiet set_permissions --vhost "$vhost" "$prefix$user" "$@"
done 3< "$(dirname "$0")/permissions"
