# Runs a command for the harness. Usage: sh -c "$(cat supervise.sh)" supervise FOLDER COMMAND [ARG...]
# Each line on stdin is a signal for the command. At the end of stdin (the harness dropped its handle, or the whole test
# process died, however) the command is killed and FOLDER removed: nothing outlives a test run.
trap '' INT QUIT HUP # Ctrl-C reaches the test process, whose death ends stdin
folder=$1
shift
exec 3<&0
"$@" </dev/null 3<&- &
child=$!
{
    while read -r signal; do kill -s "$signal" "$child"; done
    mkdir -p "$folder/.ownerless" # -p: the harness may have removed the folder already
    kill -s KILL "$child"
} <&3 3<&- 2>/dev/null &
listener=$!
exec 3<&-
wait "$child"
status=$?
kill "$listener" 2>/dev/null
if [ -e "$folder/.ownerless" ]; then rm -rf "$folder"; fi
exit "$status"
