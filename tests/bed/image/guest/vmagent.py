"""Serves the host over the virtio-serial port named "agent": runs commands, reads and writes files.

A request is one line:  ID TIMEOUT_S OP BASE64(argument)...
The reply is one line:  ID STATUS BASE64(stdout) BASE64(stderr)
with "-" for no bytes, and "!" as the status, with a message as stdout, where the agent itself failed.
Commands run side by side, each under bash in its own session. Output goes through files, not
pipes, so a command that leaves something running in the background still ends when it ends.
"""
import os, signal, subprocess, threading, time
from binascii import a2b_base64, b2a_base64

MAX_OUTPUT_BYTES = 4 << 20  # Of stdout, and as much of stderr.
MAX_WRITE_BYTES = 32768     # At once, on the port.
TIMED_OUT_STATUS = 124


def find_port():
    while True:
        for port in os.listdir('/sys/class/virtio-ports'):
            with open(f'/sys/class/virtio-ports/{port}/name') as f:
                if f.read().strip() == 'agent':
                    return os.open(f'/dev/{port}', os.O_RDWR)
        time.sleep(0.1)


def scratch():
    """A file without a name. Not opened for appending: that breaks zfs send's splice."""
    path = f'/run/vmagent.{threading.get_ident()}.{time.monotonic_ns()}'
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    os.unlink(path)
    return fd


def contents(fd, name):
    size = os.fstat(fd).st_size
    if size > MAX_OUTPUT_BYTES:
        raise ValueError(f'the command wrote {size} bytes to {name}, more than {MAX_OUTPUT_BYTES}: '
                         'let it write to a file, and read that')
    return os.pread(fd, size, 0)


def run(timeout_s, command, stdin_path=b'/dev/null'):
    """stdin_path names a file that the host has put there for this command alone."""
    fds = [os.open(stdin_path, os.O_RDONLY), scratch(), scratch()]
    try:
        if stdin_path != b'/dev/null':
            os.unlink(stdin_path)
        p = subprocess.Popen(['/bin/bash', '-c', command], stdin=fds[0], stdout=fds[1],
                             stderr=fds[2], start_new_session=True, cwd='/')
        try:
            status = p.wait(timeout_s)
        except subprocess.TimeoutExpired:
            os.killpg(p.pid, signal.SIGKILL)
            p.wait()
            status = TIMED_OUT_STATUS
        if status < 0:
            status = 128 - status  # Ended by a signal, told as a shell would.
        return status, contents(fds[1], 'stdout'), contents(fds[2], 'stderr')
    finally:
        for fd in fds:
            os.close(fd)


def write(_, path, offset, data):
    fd = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
    try:
        os.pwrite(fd, data, int(offset))
    finally:
        os.close(fd)
    return 0, b'', b''


def read(_, path, offset, length):
    fd = os.open(path, os.O_RDONLY)
    try:
        return 0, os.pread(fd, int(length), int(offset)), b''
    finally:
        os.close(fd)


OPS = {b'run': run, b'write': write, b'read': read}


def word(data):
    return b2a_base64(data, newline=False) or b'-'


def main():
    port, lock = find_port(), threading.Lock()

    def answer(ident, timeout_s, op, args):
        try:
            status, out, err = OPS[op](timeout_s, *args)
        except Exception as e:
            status, out, err = '!', str(e).encode(), b''
        line = memoryview(b'%s %s %s %s\n' % (ident, str(status).encode(), word(out), word(err)))
        with lock:
            while line:
                line = line[os.write(port, line[:MAX_WRITE_BYTES]):]

    def dispatch(line):
        try:
            ident, timeout_s, op, *args = line.split()
            timeout_s, args = float(timeout_s), [a2b_base64(a) for a in args]
        except ValueError:
            return  # A line cut short by a reconnect; the host asks again.
        if op == b'run':  # The others are quick, and keep their order this way.
            threading.Thread(target=answer, args=(ident, timeout_s, op, args), daemon=True).start()
        else:
            answer(ident, timeout_s, op, args)

    parts = []
    while True:
        data = os.read(port, 65536)
        if not data:  # The host isn't connected.
            parts.clear()
            time.sleep(0.05)
            continue
        *lines, rest = data.split(b'\n')
        for line in lines:
            parts.append(line)
            dispatch(b''.join(parts))
            parts.clear()
        if rest:
            parts.append(rest)


main()
