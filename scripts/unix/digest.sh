# Tells the SHA-256 of a file by the tool that the probe found.
# It never looks for another tool.
#
# A part of put and manual. Needs prelude.sh before it.
# shellcheck shell=sh

# shellcheck disable=SC2034 # its caller reads digest
digest_of() { # TOOL FILE: sets digest, empty where there is no tool
    case $1 in
        sha256sum) digest=$(sha256sum <"$2") ;;
        shasum) digest=$(shasum -a 256 <"$2") ;;
        # The digest comes last.
        openssl) digest=$(openssl dgst -sha256 <"$2") && digest=${digest##* } ;;
        csum) digest=$(csum -h SHA256 "$2") ;;
        digest) digest=$(digest -a sha256 "$2") ;;
        *) digest= ;;
    esac
    digest=${digest%% *}
}
