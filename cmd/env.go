package cmd

import (
	"context"
	"io"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/term"

	"github.com/cpctl/cpctl/pkg/config"
	"github.com/cpctl/cpctl/pkg/mutation"
	"github.com/cpctl/cpctl/pkg/pki"
	"github.com/cpctl/cpctl/pkg/rpc"
	"github.com/cpctl/cpctl/pkg/snapshot"
)

// Env is what a command may take from the world outside it.
type Env struct {
	In       io.Reader
	Out, Err io.Writer

	InTerminal, OutTerminal, ErrTerminal bool

	Columns func() int // of the terminal that Out is; nil or 0: not known

	Root   bool                // runs as the superuser: the data directory is the system's
	Getenv func(string) string // nil: no environment
	Now    func() time.Time    // of nodes, and for the ages that people read; nil: time.Now

	// ReadSecret reads a line from the terminal without echo.
	ReadSecret func() ([]byte, error)

	// Background makes the process give way to others; nil: nothing does.
	Background func()

	// Dial returns a client of the servers. It does not connect before it is
	// used, so that --help never dials. The log is nil unless it was asked for.
	Dial func(rpc.Options) Cluster

	// Enrol gets a certificate for the holder of a token.
	Enrol func(ctx context.Context, servers []string, token pki.Token, req rpc.EnrolArgs) (*rpc.Enrolment, error)

	args  []string // the command line, as given
	flags globals

	context struct { // in force, once it is needed
		read bool
		is   *config.Context
		err  error
	}
	unknown   error // the command that help was asked about with --help
	told      bool  // what there is to say about how the cluster is reached
	names     int   // that the command line gives, where it may give several
	documents int   // printed so far, for the separator of YAML

	followLook time.Duration // of audit --follow; tests have a shorter one
}

// Cluster is what the commands together need of the wire; each function asks
// for the methods it calls. *rpc.Client provides it.
type Cluster interface {
	writer
	reader
	statuser
	certifier
	rememberer
	Health(ctx context.Context, wait bool) (*rpc.HealthReply, error)
	Check(context.Context, rpc.CheckArgs) (*rpc.CheckReport, error)
	memberships
	transferrer
	Rekey(ctx context.Context, tell func(*rpc.RekeyReply)) (*rpc.RekeyReply, error)
	Export(context.Context, rpc.ExportArgs) (*rpc.ExportReply, error)
	auditor
	Snapshot(context.Context, io.Writer) (*snapshot.Manifest, error)
	Restore(context.Context, io.Reader, rpc.RestoreArgs) (*rpc.RestoreReply, error)
	tokens
	renewer
	Close() error
}

type writer interface {
	Write(context.Context, *mutation.Request) (*mutation.Answer, error)
}

type reader interface {
	Get(context.Context, rpc.GetArgs) (*rpc.GetReply, error)
	List(context.Context, rpc.ListArgs) (*rpc.ListReply, error)
}

type statuser interface {
	Status(context.Context) (*rpc.ClusterStatus, error)
}

// System is the world of a process: its streams, environment and terminals.
// From here on a broken pipe is an error of the write, not a signal.
func System() *Env {
	signal.Ignore(syscall.SIGPIPE)
	stdin := int(os.Stdin.Fd())
	return &Env{
		In: os.Stdin, Out: os.Stdout, Err: os.Stderr,
		InTerminal:  term.IsTerminal(stdin),
		OutTerminal: term.IsTerminal(int(os.Stdout.Fd())),
		ErrTerminal: term.IsTerminal(int(os.Stderr.Fd())),
		Columns:     terminalColumns,
		Root:        os.Geteuid() == 0,
		Getenv:      os.Getenv,
		ReadSecret:  func() ([]byte, error) { return term.ReadPassword(stdin) },
		Background:  background,
		Dial:        dial,
		Enrol:       rpc.Enrol,
	}
}

// terminalColumns is the width of the terminal that stdout is, 0 if it is none.
func terminalColumns() int {
	width, _, err := term.GetSize(int(os.Stdout.Fd()))
	if err != nil {
		return 0
	}
	return width
}

func (e *Env) columns() int {
	if e.Columns == nil {
		return 0
	}
	return e.Columns()
}

func (e *Env) getenv(name string) string {
	if e.Getenv == nil {
		return ""
	}
	return e.Getenv(name)
}

func (e *Env) now() time.Time {
	if e.Now == nil {
		return time.Now()
	}
	return e.Now()
}

// dataDir is where the local node lives: --data-dir, CPCTL_DATA_DIR, else the
// system's directory for root and the XDG state directory for others.
func (e *Env) dataDir() string {
	switch {
	case e.flags.dataDir != "":
		return e.flags.dataDir
	case e.getenv("CPCTL_DATA_DIR") != "":
		return e.getenv("CPCTL_DATA_DIR")
	case e.Root:
		return "/var/lib/cpctl"
	case filepath.IsAbs(e.getenv("XDG_STATE_HOME")): // the XDG rule: relative ones are ignored
		return filepath.Join(e.getenv("XDG_STATE_HOME"), "cpctl")
	}
	return filepath.Join(e.getenv("HOME"), ".local", "state", "cpctl")
}

// servers are the addresses to try, HOST:PORT or unix:PATH each.
func (e *Env) servers() ([]string, error) {
	from, err := e.serverSetting()
	if err != nil {
		return nil, err
	}
	what := "--server"
	if from.Source == fromContext {
		what = "context " + string(quoted(from.From)) + ", server"
	}
	servers := strings.Split(from.Value, ",")
	for _, s := range servers {
		if err := checkServer(what, s); err != nil {
			return nil, err
		}
	}
	return servers, nil
}

func checkServer(what, s string) error {
	path, local := strings.CutPrefix(s, "unix:")
	switch {
	case s == "":
		return usagef("%s has an empty address", what)
	case local && path == "":
		return usagef("%s %q has no path", what, s)
	case local:
		return nil
	}
	host, port, err := net.SplitHostPort(s)
	n, perr := strconv.ParseUint(port, 10, 16)
	if err == nil && perr == nil && n > 0 && host != "" && !strings.ContainsAny(host, " /") {
		return nil
	}
	if strings.Contains(s, "/") || strings.HasSuffix(s, ".sock") {
		return usagef("%s %q is not an address", what, s).WithHint("a socket is written unix:%s", s)
	}
	return usagef("%s %q is not an address", what, s).WithHint("it is HOST:PORT, such as 10.0.0.1:7700 or [fd00::1]:7700, or unix:PATH")
}

// client gives work a client of the cluster and a context that ends with
// --timeout, which covers dialling, retries and waiting.
func (e *Env) client(ctx context.Context, work func(context.Context, Cluster) error) error {
	o, err := e.options()
	if err != nil {
		return err
	}
	var met atomic.Uint64 // the generation of the cluster that a server was of
	o.Met = func(id pki.Identity) { met.Store(id.Generation) }
	c := e.Dial(o)
	defer c.Close()
	ctx, cancel := e.deadline(ctx)
	defer cancel()
	defer e.renewing(ctx, o, &met)()
	return work(ctx, c)
}

func (e *Env) deadline(ctx context.Context) (context.Context, context.CancelFunc) {
	if e.flags.timeout <= 0 {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, time.Duration(e.flags.timeout))
}

func (e *Env) log() *slog.Logger {
	if !e.flags.verbose {
		return nil
	}
	return slog.New(slog.NewTextHandler(e.Err, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// tenant is the tenant that client, scope and key commands are about.
func (e *Env) tenant() (string, error) {
	s, err := e.tenantSetting()
	if err == nil && s.Value == "" {
		err = usagef("which tenant?").WithHint("pass -t SLUG or set CPCTL_TENANT")
	}
	return s.Value, err
}

// siblings lists the names of a kind as this node has them now, for
// suggestions and completion: quickly or not at all.
func siblings(ctx context.Context, c reader, kind, tenant string) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	page, err := c.List(ctx, rpc.ListArgs{Kind: kind, Tenant: tenant, Read: rpc.ReadOptions{Stale: true}})
	if err != nil {
		return nil, err
	}
	names := make([]string, 0, len(page.Items))
	for _, item := range page.Items {
		names = append(names, identify(item).Name)
	}
	return names, nil
}

// patience is how long a nicety may take.
const patience = 400 * time.Millisecond
