# Stores the rendered files of a task (start scripts, units, configurations) as one directory.
# It never keeps an older file: the directory is replaced whole. It never runs what it stores.
#
# Arguments: DIR, then NAME MODE SIZE for every file; stdin = their bytes one after another. Needs receive.sh before it.
printf '\n@@lf:ready@@\n'
case ${1-} in
    /*/../* | */.. | */. | */./* | *//* | */) fail bad_argument "directory $1" ;;
    /*/*) ;;
    *) fail bad_argument "directory ${1-}" ;;
esac
receive "$@"
echo '@@lf:stored@@'
