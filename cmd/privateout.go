package cmd

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"
	"golang.org/x/term"

	"github.com/cpctl/cpctl/pkg/store"
)

// privateOut is where a private key goes: a file or an open descriptor, as the
// flags name them.
type privateOut struct {
	path, fd string

	file *pending
}

// begin makes sure that the key can be put down, and that nobody else gets to
// see it there.
func (o *privateOut) begin() (err error) {
	switch {
	case o.path == "" && o.fd == "":
		return usagef("where to?").WithHint("pass --out FILE, or --fd N for a descriptor that is open")
	case o.fd != "":
		o.file, err = beginInherited(o.fd)
	default:
		o.file, err = beginPrivate(o.path)
	}
	return err
}

// beginPrivate is begin for a file that must be nobody else's: a regular
// file that stands there is replaced, anything else is refused.
func beginPrivate(path string) (*pending, error) {
	if path == "-" {
		return nil, store.Errorf(store.CodeRefused, "a private key is not written to stdout").
			WithHint("pass --out FILE, or --fd N with N of 3 or more")
	}
	st, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return nil, usagef("%s", fileReason(path, err))
	case st.Mode()&fs.ModeSymlink != 0:
		return nil, store.Errorf(store.CodeRefused, "%s is a link, and a private key does not follow one", path).
			WithHint("remove it, or name the file that it leads to")
	case st.IsDir():
		return nil, usagef("%s is a directory", path)
	case !st.Mode().IsRegular():
		return nil, store.Errorf(store.CodeRefused, "%s is no regular file", path).WithHint("for a pipe, open it and pass --fd N")
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".cpctl-*") // mode 0600
	if err != nil {
		return nil, usagef("cannot write in %s", fileReason(filepath.Dir(path), err))
	}
	return &pending{File: f, path: path}, nil
}

// beginInherited takes over a descriptor that the caller opened. The program's
// own are told from it by close-on-exec, without which none of them is made.
func beginInherited(text string) (*pending, error) {
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 || n > 1<<20 {
		return nil, usagef("--fd %q is no descriptor", text)
	}
	if n <= 2 {
		return nil, store.Errorf(store.CodeRefused, "a private key is not written to stdin, stdout or stderr").
			WithHint("open another descriptor, 3 or more: umask 077; ... --fd 3 3>FILE")
	}
	flags, err := unix.FcntlInt(uintptr(n), unix.F_GETFD, 0)
	if err != nil || flags&unix.FD_CLOEXEC != 0 {
		return nil, usagef("descriptor %d is not open", n).WithHint("the shell opens it: umask 077; ... --fd %d %d>FILE", n, n)
	}
	mode, err := unix.FcntlInt(uintptr(n), unix.F_GETFL, 0)
	if err != nil || mode&unix.O_ACCMODE == unix.O_RDONLY {
		return nil, usagef("descriptor %d is not open for writing", n)
	}
	if term.IsTerminal(n) {
		return nil, store.Errorf(store.CodeRefused, "descriptor %d is a terminal, and a private key is not shown", n).
			WithHint("pass --out FILE, or a descriptor that leads to the process that signs")
	}
	if err := unshared(n); err != nil {
		return nil, err
	}
	return &pending{File: os.NewFile(uintptr(n), "descriptor "+text), path: "descriptor " + text, direct: true}, nil
}

// unshared refuses a descriptor by which others would get the key too: the
// stdout or stderr of this process, or a file that they may read.
func unshared(n int) error {
	var st unix.Stat_t
	if err := unix.Fstat(n, &st); err != nil {
		return usagef("descriptor %d: %v", n, err)
	}
	for _, std := range []int{1, 2} {
		var other unix.Stat_t
		if st.Mode&unix.S_IFMT != unix.S_IFCHR && unix.Fstat(std, &other) == nil && st.Dev == other.Dev && st.Ino == other.Ino {
			return store.Errorf(store.CodeRefused, "descriptor %d leads where descriptor %d does, and a private key is not written there", n, std).
				WithHint("send the other one elsewhere: --fd %d %d>&1 >/dev/null", n, n)
		}
	}
	kind := st.Mode & unix.S_IFMT
	if (kind == unix.S_IFREG || kind == unix.S_IFIFO) && st.Mode&0o077 != 0 {
		return store.Errorf(store.CodeRefused, "descriptor %d is a file with mode %04o, which others may open", n, st.Mode&0o777).
			WithHint("make it with umask 077, or pass --out FILE")
	}
	return nil
}

// write puts the key down, whole.
func (o *privateOut) write(key []byte) error {
	if _, err := o.file.Write(key); err != nil {
		return err
	}
	return o.file.commit()
}

func (o *privateOut) discard() { o.file.discard() }

func (o *privateOut) name() string {
	if o.fd != "" {
		return "fd:" + o.fd
	}
	return o.path
}
