package story_test

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/sys/unix"
)

// terminal is
//
//	terminal [-out|-noecho] CODE TYPED cpctl args...
//
// The command runs at a terminal: stdin and stderr, with -out stdout too. Once
// a prompt stands there, and with -noecho once the terminal echoes no more,
// TYPED is typed, and Enter; ^C is that key, and nothing is typed for an empty
// TYPED. What stands on the screen is stderr to the lines that follow.
func terminal(ts *testscript.TestScript, neg bool, args []string) {
	option := ""
	if len(args) > 0 && strings.HasPrefix(args[0], "-") {
		option, args = args[0], args[1:]
	}
	if neg || len(args) < 3 {
		ts.Fatalf("usage: terminal [-out|-noecho] CODE TYPED program args...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	screen, tty, err := openTerminal()
	ts.Check(err)
	defer screen.Close()
	cmd := command(ts, args[2:])
	var stdout strings.Builder
	cmd.Env = append(cmd.Env, "TERM=xterm")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = tty, &stdout, tty
	if option == "-out" {
		cmd.Stdout = tty
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true} // of stdin, so that ^C reaches it
	err = cmd.Start()
	tty.Close()
	ts.Check(err)
	hung := time.AfterFunc(patience, func() { cmd.Process.Kill() })
	defer hung.Stop()

	var text strings.Builder
	var shown sync.WaitGroup
	shown.Go(func() {
		typed, b := args[1] == "", make([]byte, 4096)
		for {
			n, err := screen.Read(b)
			text.Write(b[:n])
			if n > 0 && !typed && strings.HasSuffix(text.String(), " ") { // a prompt waits behind a space
				typed = true
				if option == "-noecho" {
					silence(screen)
				}
				screen.WriteString(keys(args[1]))
			}
			if err != nil { // EIO: nobody has the terminal open any more
				return
			}
		}
	})
	code := exitCode(ts, cmd.Wait())
	shown.Wait()
	ts.Stdout().Write([]byte(stdout.String()))
	ts.Stderr().Write([]byte(strings.ReplaceAll(text.String(), "\r\n", "\n")))
	if code != want {
		ts.Fatalf("exit %d, want %d:\n%s", code, want, text.String())
	}
}

// silence waits until the terminal does not echo what is typed, or until
// patience is over: then the secret is on the screen, where the script finds it.
func silence(screen *os.File) {
	over := time.After(patience)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		if t, err := unix.IoctlGetTermios(int(screen.Fd()), unix.TCGETS); err != nil || t.Lflag&unix.ECHO == 0 {
			return
		}
		select {
		case <-tick.C:
		case <-over:
			return
		}
	}
}

func keys(typed string) string {
	if typed == "^C" {
		return "\x03"
	}
	return typed + "\n"
}

// openTerminal makes a pseudo-terminal of 24 lines of 80 characters.
func openTerminal() (screen, tty *os.File, err error) {
	fd, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("open a terminal: %w", err)
	}
	screen = os.NewFile(uintptr(fd), "/dev/ptmx")
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	err = errors.Join(err,
		unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0),
		unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: 80}))
	if err == nil {
		tty, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	}
	if err == nil {
		err = keepOutput(int(tty.Fd()))
	}
	if err != nil {
		screen.Close()
		return nil, nil, err
	}
	return screen, tty, nil
}

// keepOutput lets what is written stand when ^C is typed; else the kernel may
// drop what the command says of it.
func keepOutput(fd int) error {
	t, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	if err != nil {
		return err
	}
	t.Lflag |= unix.NOFLSH
	return unix.IoctlSetTermios(fd, unix.TCSETS, t)
}
