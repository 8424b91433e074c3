# Takes in the script and the parameters of one run, and hands over to its runner.
# It never starts a run itself, and never writes into runs/: the runner does, once per run id.
#
# Arguments: STATE RUN_ID ACTION TASK EPOCH DEADLINE_S, then NAME MODE SIZE of agent.sh, runner.sh, params.
# Needs receive.sh before it.
printf '\n@@lf:ready@@\n'
[ $# -ge 15 ] || fail bad_argument "15 arguments expected, $# given"
state=$1 run_id=$2 action=$3 task=$4 epoch=$5 deadline=$6
shift 6
case $run_id in *[!A-Za-z0-9_-]*) fail bad_argument "run id $run_id" ;; [A-Za-z0-9]*) ;; *) fail bad_argument "run id $run_id" ;; esac
# A directory per call: a second call for the same run must not pull the files from under the first.
receive "$state/stage/$run_id.$$" "$@"
# Nothing is left of the inbox by who takes over.
[ -z "$inbox" ] || empty_inbox
exec sh "$state/stage/$run_id.$$/runner.sh" start "$state" "$run_id" "$action" "$task" "$epoch" "$deadline"
