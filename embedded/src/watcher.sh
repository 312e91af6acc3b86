# The server's parent. Its standard input is a pipe that only the program holds open, so the end of
# the pipe is the end of the program, even by kill -9, and then the server is stopped.
# $1 the folder for the mark that asks for a restart, $2 the data folder, $3 the signal that stops the
# server, $4 a data folder to copy first or '', $5 a folder to delete at the end or ''; then the server's command.
run=$1 data=$2 stop=$3 template=$4 delete=$5
shift 5
# What stops the program (a terminal's ctrl-c, a service manager's TERM) must not stop the server under
# it: the program shuts down first, then closes the pipe.
trap '' HUP INT QUIT TERM
exec 3<&0 </dev/null

# Lines on the pipe are signals for the server. At its end: stop it, and ask again until it is gone,
# since a signal that comes before the server has set its handlers is lost.
relay() {
    while read -r name; do kill -s "$name" "$server"; done
    rm -f "$run/again"
    tries=0
    # The pid is the server's as long as its parent, this script, has not seen it end; should somebody
    # have killed this script, as long as the server's own pid file says so.
    while kill -0 $$ 2>/dev/null || [ "$(head -n 1 "$data/postmaster.pid" 2>/dev/null)" = "$server" ]; do
        kill -s "$stop" "$server" 2>/dev/null || break
        tries=$((tries + 1))
        [ "$tries" -lt 60 ] || stop=QUIT
        sleep 1
    done
}

code=1
if [ -z "$template" ] || cp -a "$template" "$data"; then
    while :; do
        "$@" 3<&- &
        server=$!
        relay <&3 3<&- &
        relay=$!
        wait "$server"
        code=$?
        # Not by its name: it must be gone before the server's pid can belong to somebody else.
        kill -s KILL "$relay"
        wait "$relay" 2>/dev/null
        [ -e "$run/again" ] || break
        sleep 0.1
    done
fi
# Twice: backends of a killed server may write for a moment longer.
[ -z "$delete" ] || rm -rf "$delete" 2>/dev/null || { sleep 1; rm -rf "$delete"; }
exit "$code"
