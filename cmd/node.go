package cmd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os/user"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/cpctl/cpctl/pkg/access"
	"github.com/cpctl/cpctl/pkg/audit"
	"github.com/cpctl/cpctl/pkg/node"
	"github.com/cpctl/cpctl/pkg/rpc"
	"github.com/cpctl/cpctl/pkg/snapshot"
)

// nodeFlags are those of `cpctl node`; each may also come from the environment.
type nodeFlags struct {
	config     node.Config
	join       string
	tokenFile  string
	filesGroup string
	snapshot   duration
	threshold  uint64
	trailing   uint64
	heartbeat  duration
	election   duration
	required   bool // audit
	certTTL    duration
	logLevel   string
	logFormat  string
}

func newNode(env *Env) *cobra.Command {
	var f nodeFlags
	c := &cobra.Command{
		Use: "node", Short: "Run a member of the cluster", Args: named(),
		Long: `Runs a member of the cluster until SIGTERM or SIGINT; a second signal stops at once.

In an empty data directory, "cpctl node" founds a new cluster and "cpctl node --join"
makes a new member of an existing one. In a directory that belongs to a cluster
already, --token-file means nothing, and --join HOST:PORT only tells where others may be
found if they have moved, so that one unit file serves for ever.

At the socket of a member on this machine (unix:PATH) no token is needed. Over the
network one is: "cpctl token create --role node --name NAME" makes it, and it is good
once. The file must be nobody else's (mode 0600).

When the socket and the port answer, one line goes to stdout; it does not promise a
leader, "cpctl cluster health --wait" does. Everything else goes to stderr.`,
		Example: `  cpctl node
  cpctl node --data-dir /srv/n2 --name n2 --listen 127.0.0.1:7702 --join unix:/srv/n1/cpctl.sock
  cpctl node --name n3 --listen 10.0.0.3:7700 --join 10.0.0.1:7700,10.0.0.2:7700 --token-file n3.token`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := env.fill(cmd.Flags(), nodeFlagNames...); err != nil {
				return err
			}
			return runNode(cmd.Context(), env, &f)
		},
	}
	fs := c.Flags()
	fs.StringVar(&f.config.Name, "name", "", "`NAME` of the node, unique in the cluster (default the host name)")
	fs.StringVar(&f.config.Listen, "listen", "127.0.0.1:7700", "`HOST:PORT` for other nodes; port 0 picks one once and keeps it")
	fs.StringVar(&f.config.Advertise, "advertise", "", "`HOST:PORT` by which other nodes reach this one (default --listen)")
	fs.StringVar(&f.join, "join", "", "members to join through, `ADDR` is HOST:PORT or unix:PATH, several with commas; for a member: where others are, if they moved")
	fs.StringVar(&f.tokenFile, "token-file", "", "`FILE` with the token for --join HOST:PORT; - is stdin")
	fs.BoolVar(&f.config.NonVoter, "non-voter", false, "join without a vote")
	fs.StringVar(&f.filesGroup, "files-group", "", "`GROUP` that may read data/ (default nobody but the node's user)")
	fs.Var(&f.snapshot, "snapshot-interval", "how often to look whether a snapshot is due, a `DURATION` (default 30s)")
	fs.Var(count{&f.threshold}, "snapshot-threshold", "`N` log entries after which one is (default 1024)")
	fs.Var(count{&f.trailing}, "trailing-logs", "`N` log entries kept behind a snapshot (default 4096, at least 1024)")
	fs.Var(&f.heartbeat, "heartbeat-timeout", "a follower without news for this `DURATION` calls an election (default 500ms)")
	fs.Var(&f.election, "election-timeout", "a candidate without a majority for this `DURATION` calls another (default 500ms)")
	fs.Var(&f.certTTL, "cert-ttl", "certificates that this node signs are good for a `DURATION` (default 90d); they renew themselves")
	for _, name := range []string{"cert-ttl", "snapshot-interval", "snapshot-threshold", "trailing-logs", "heartbeat-timeout", "election-timeout"} {
		fs.Lookup(name).DefValue = "" // zero stands for the one that the help names
	}
	fs.BoolVar(&f.required, "audit-required", false, "refuse what cannot be written to the audit log first")
	fs.StringVar(&f.logLevel, "log-level", "info", "`LEVEL`: debug, info, warn, error")
	fs.StringVar(&f.logFormat, "log-format", "text", "`FORMAT` of the log on stderr: text, json")
	return c
}

var nodeFlagNames = []string{"name", "listen", "advertise", "join", "token-file", "non-voter", "files-group", "snapshot-interval", "snapshot-threshold",
	"trailing-logs", "heartbeat-timeout", "election-timeout", "cert-ttl", "audit-required", "log-level", "log-format"}

// nodeConfig turns the flags into the node's configuration.
func (f *nodeFlags) nodeConfig(env *Env) (node.Config, error) {
	c := f.config
	c.Dir, c.Version, c.Now = env.dataDir(), versionText(), env.Now
	var level slog.Level
	if err := level.UnmarshalText([]byte(f.logLevel)); err != nil {
		return c, usagef("%q is no value of --log-level", f.logLevel).WithHint("it is debug, info, warn or error")
	}
	options := &slog.HandlerOptions{Level: level}
	switch f.logFormat {
	case "text":
		c.Log = slog.New(slog.NewTextHandler(env.Err, options))
	case "json":
		c.Log = slog.New(slog.NewJSONHandler(env.Err, options))
	default:
		return c, usagef("%q is no value of --log-format", f.logFormat).WithHint("it is text or json")
	}
	if f.filesGroup != "" {
		g, err := user.LookupGroup(f.filesGroup)
		if err != nil {
			return c, usagef("--files-group: %v", err)
		}
		if c.Group, err = strconv.Atoi(g.Gid); err != nil {
			return c, usagef("--files-group %q has no number", f.filesGroup)
		}
	}
	c.SnapshotInterval, c.HeartbeatTimeout, c.ElectionTimeout = time.Duration(f.snapshot), time.Duration(f.heartbeat), time.Duration(f.election)
	c.SnapshotThreshold, c.TrailingLogs, c.CertTTL = f.threshold, f.trailing, time.Duration(f.certTTL)
	if c.CertTTL != 0 && c.CertTTL < node.MinCertTTL {
		return c, usagef("--cert-ttl %s is too short: a certificate has to be renewed in time", c.CertTTL).WithHint("at least %s", node.MinCertTTL)
	}
	if c.TrailingLogs != 0 && c.TrailingLogs < 1024 {
		return c, usagef("--trailing-logs %d is too few: a follower that is slow for a moment would need a whole snapshot", c.TrailingLogs).WithHint("at least 1024")
	}
	return c, nil
}

// runNode runs a member until the context ends or it cannot go on.
func runNode(ctx context.Context, env *Env, f *nodeFlags) error {
	config, err := f.nodeConfig(env)
	if err != nil {
		return err
	}
	if err := fitsSocket(filepath.Join(config.Dir, "cpctl.sock")); err != nil {
		return err
	}
	join, err := f.joining(env, config.Log)
	if err != nil {
		return err
	}
	if join != nil {
		config.Join = join
		config.Seek = join.addresses()
	}
	unix.Umask(0o077)
	slog.SetDefault(config.Log)
	collecting, collected := context.WithCancel(ctx)
	defer collected()
	go collect(collecting)

	failed := make(chan error, 1)
	config.Stop = func(err error) {
		if code := node.ExitCode(err); code >= 11 && code <= 13 { // damaged, unreadable, not written
			env.report(&exitError{code, err}, false)
			exit(code) // at once: raft must not go on
		}
		failed <- err
	}
	var server *rpc.Server
	var started sync.WaitGroup // Probe and FetchKey need the server, which needs the node
	started.Add(1)
	config.Probe = func(ctx context.Context, m node.Member) (node.Progress, error) {
		started.Wait()
		if server == nil {
			return node.Progress{}, context.Canceled
		}
		p, err := server.Probe(ctx, rpc.Member(m))
		return node.Progress(p), toldOff(err)
	}
	config.Renew = func(ctx context.Context, leader node.Member, csr []byte) (*node.Enrolment, error) {
		started.Wait()
		if server == nil {
			return nil, context.Canceled
		}
		e, err := server.AskRenewal(ctx, rpc.Member(leader), csr)
		return (*node.Enrolment)(e), toldOff(err)
	}
	config.Move = func(ctx context.Context, to node.Member, req node.AdmitRequest) error {
		started.Wait()
		if server == nil {
			return context.Canceled
		}
		return toldOff(server.AskMove(ctx, rpc.Member(to), rpc.AdmitArgs(req)))
	}
	config.FetchKey = func(ctx context.Context, m node.Member, keyID string) ([]byte, error) {
		started.Wait()
		if server == nil {
			return nil, context.Canceled
		}
		return server.FetchKey(ctx, rpc.Member(m), keyID)
	}
	config.DigestAt = func(ctx context.Context, m node.Member, index uint64, own string) (string, error) {
		started.Wait()
		if server == nil {
			return "", context.Canceled
		}
		return server.DigestAt(ctx, rpc.Member(m), index, own)
	}
	config.FetchState = func(ctx context.Context, m node.Member, behind uint64, take func(snapshot.Manifest, io.Reader) error) error {
		started.Wait()
		if server == nil {
			return context.Canceled
		}
		return server.FetchState(ctx, rpc.Member(m), behind, take)
	}
	var record *audit.Log
	config.Record = func(e audit.Event) {
		if started.Wait(); record != nil {
			record.Record(e)
		}
	}
	var refuser atomic.Pointer[rpc.Server] // a node that is starting, or fails to, must not wait for itself
	config.Refused = func(by access.Actor, protocol string, err error) {
		if s := refuser.Load(); s != nil {
			s.Refused(by, protocol, err)
		}
	}
	n, err := node.Open(ctx, config)
	if err != nil {
		started.Done()
		if ctx.Err() != nil { // asked to stop while it waited for its cluster
			return errStopped
		}
		return startError(err)
	}
	record = openAudit(n, config, f.required)
	s, err := rpc.NewServer(served{n}, config.Log)
	if err == nil {
		s.RecordWith(record)
		refuser.Store(s)
		err = s.Serve(filepath.Join(config.Dir, "cpctl.sock"))
	}
	if err != nil {
		started.Done()
		return errors.Join(err, n.Close(), record.Close())
	}
	server = s
	started.Done()
	fmt.Fprintf(env.Out, "ready: node %s, cluster %s, %s\n", n.Name(), n.ClusterID(), n.Address())

	var cause error
	select {
	case <-ctx.Done():
		config.Log.Info("stopping")
	case cause = <-failed:
	}
	err = errors.Join(n.Close(), server.Close())
	if err := record.Close(); err != nil { // said before, and no reason to end otherwise
		config.Log.Warn("stopping with an audit log that is not complete", "error", err)
	}
	if errors.Is(cause, node.ErrLeft) { // as it was told to: nobody is to start it again
		return errStopped
	}
	if cause != nil {
		return startError(cause)
	}
	if err != nil {
		return &exitError{1, err}
	}
	return errStopped
}

// errStopped ends a node that was asked to stop: exit 0, and nothing is said.
var errStopped = &exitError{}

// startError gives a node that could not start, or go on, the exit code of its reason: what
// the node knows of first, such as a log that cannot be written, else the class
// of the refusal, such as a name that is taken.
func startError(err error) error {
	code := node.ExitCode(err)
	if code == 1 && !errors.Is(err, node.ErrRemoved) { // 1, whether it hears why or not
		code = exitCode(err)
	}
	return &exitError{code, err}
}
