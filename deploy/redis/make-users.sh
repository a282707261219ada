#!/bin/sh
# Writes FILE, an ACL file of Redis, from users.acl beside this script and the passwords in the
# environment. Users that FILE has besides, made with ACL SETUSER and ACL SAVE, stay.
#
#   make-users.sh FILE
set -eu
umask 077
file=$1
template=$(dirname "$0")/users.acl
draft=$file.new

: > "$draft"
while read -r word name state secret rest; do
    [ "$word" = user ] || continue
    case $secret in
    '#'*)
        variable=${secret#?}
        eval "password=\${$variable:-}"
        [ -n "$password" ] || continue
        secret="#$(printf %s "$password" | sha256sum | cut -d ' ' -f 1)"
        ;;
    esac
    echo "user $name $state $secret $rest" >> "$draft"
done < "$template"

if [ -f "$file" ]; then
    while read -r word name rest; do
        grep -q "^user $name " "$template" || echo "$word $name $rest" >> "$draft"
    done < "$file"
fi
mv "$draft" "$file"
