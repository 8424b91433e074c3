#!/bin/sh
# What unix/selftest.sh proves, on Solaris. A person copies the directories scripts and templates to the machine, and runs this
# as root:
#
#   sh scripts/solaris/selftest.sh
#
# It is for the Bourne shell, and hands over to a shell that is POSIX's. selftest.ksh tells the rest.
# shellcheck disable=SC2006 # it knows no other
case $0 in
*/*) here=`expr "$0" : '\(.*\)/'` ;;
*) here=. ;;
esac
for shell in /usr/xpg4/bin/sh /usr/bin/ksh; do
    if test -x $shell; then exec $shell "$here/selftest.ksh"; fi
done
echo "neither /usr/xpg4/bin/sh nor /usr/bin/ksh is here: the package SUNWxcu4 is missing, and nothing of ours can run"
exit 125
