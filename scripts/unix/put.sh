# Receives one stored payload (a package archive) into the state directory, addressed by its SHA-256.
# It resumes where an earlier upload broke, proves the bytes on this machine, and only then gives the file its name.
# It never unpacks or runs what it receives, and never trusts a name or a size it has not checked itself.
#
# Arguments: STATE SHA256 SIZE DIGESTTOOL(sha256sum|shasum|openssl|csum|digest|none). Payload on stdin, after the answer `want`. With an
# inbox it takes the whole payload from there, or answers `part` and leaves what is not whole yet.
# Needs prelude.sh, digest.sh, state.sh and stdin.sh before it.
# shellcheck disable=SC2154 # prelude.sh sets bytes and free, digest.sh digest

proven() { # FILE: it is what was announced, as far as a tool can tell
    if [ "$tool" = none ]; then return 0; fi
    digest_of "$tool" "$1"
    [ "$digest" = "$sha" ]
}

printf '\n@@lf:ready@@\n'
[ $# -eq 4 ] || fail bad_argument "4 arguments expected, $# given"
state=$1 sha=$2 size=$3 tool=$4
case $sha in *[!0-9a-f]* | '') fail bad_argument "digest $sha" ;; esac
[ ${#sha} -eq 64 ] || fail bad_argument "digest $sha"
case $size in *[!0-9]* | '') fail bad_argument "size $size" ;; esac
case $tool in
    none) stored=stored=unverified ;;
    sha256sum | shasum | openssl | csum | digest)
        command -v "$tool" >/dev/null 2>&1 || fail bad_argument "no $tool here"
        stored=stored
        ;;
    *) fail bad_argument "digest tool $tool" ;;
esac
own_state "$state"
blob=$state/blobs/$sha part=$state/blobs/.$sha.part

size_of "$blob"
if [ -f "$blob" ] && [ ! -h "$blob" ] && [ "$bytes" -eq "$size" ] && proven "$blob"; then
    rm -f "$part"
    echo '@@lf:have@@'
    exit 0
fi
if [ -e "$blob" ] || [ -h "$blob" ]; then rm -rf "$blob"; fi
# From the inbox it comes in one piece.
[ -z "$inbox" ] || rm -rf "$part"
if [ -h "$part" ] || { [ -e "$part" ] && [ ! -f "$part" ]; }; then rm -rf "$part"; fi
# An upload whose connection stands still may be waiting, and would append what comes late to the file that it has open,
# whatever its name is by then. It keeps that file; this upload goes on with a copy.
mine=$state/blobs/.$sha.$$.part
size_of "$part"
if [ -s "$part" ] && [ "$bytes" -le "$size" ] && cp "$part" "$mine"; then
    mv -f "$mine" "$part"
elif [ -e "$part" ] || [ -e "$mine" ]; then
    # Nothing in it, too much, or no room for a copy: from the beginning.
    rm -f "$part" "$mine"
fi
size_of "$part"
offset=$bytes

# 1 MiB on top: logs, parameter files and directory blocks must still fit.
needed=$(((size - offset + 1023) / 1024 + 1024))
free_kb "$state/blobs"
[ "$free" -ge "$needed" ] || fail no_space "$state/blobs has $free kB free, $needed kB are needed"

if [ -n "$inbox" ]; then
    size_of "$inbox"
    brought=$bytes
    if [ "$brought" -lt "$size" ]; then
        trap - EXIT
        digest=
        if [ "$brought" -gt 0 ]; then digest_of "$tool" "$inbox"; fi
        echo "@@lf:part=$brought ${digest:-none}@@"
        exit 0
    fi
fi

echo "@@lf:want=$offset@@"
if ! incoming $((size - offset)) "$part"; then
    # Below one 64 kB write nothing useful fits: then it was the room, not the device.
    free_kb "$state/blobs"
    [ "$free" -ge 64 ] || fail no_space "$state/blobs has $free kB free"
    size_of "$part"
    fail write_failed "$part at $bytes of $size bytes"
fi
size_of "$part"
got=$bytes
# A short one is kept: the next call goes on from there.
[ "$got" -ge "$size" ] || fail short "$got of $size"
if [ "$got" -gt "$size" ] || ! proven "$part"; then
    rm -f "$part"
    fail checksum "$got bytes received, not those of $sha"
fi
mv -f "$part" "$blob" || fail write_failed "$blob cannot be named"
echo "@@lf:$stored@@"
