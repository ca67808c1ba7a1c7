package cmd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"

	"github.com/cpctl/cpctl/pkg/access"
	"github.com/cpctl/cpctl/pkg/audit"
	"github.com/cpctl/cpctl/pkg/node"
	"github.com/cpctl/cpctl/pkg/rpc"
	"github.com/cpctl/cpctl/pkg/store"
)

// exit ends the process at once, for a node that must not go on.
var exit = os.Exit

// served joins the node and the wire, which do not know each other: each has
// types of its own for what crosses between them, alike in every field.
type served struct{ *node.Node }

var _ rpc.Node = served{}

func (s served) Progress() rpc.Progress { return rpc.Progress(s.Node.Progress()) }

func (s served) Check(ctx context.Context, repair bool) *rpc.SelfCheck {
	c := s.Node.Check(ctx, repair)
	out := &rpc.SelfCheck{Index: c.Index, StateDigest: c.StateDigest, Unchecked: c.Unchecked, Hint: c.Hint, Drift: (*rpc.Drift)(c.Drift)}
	for _, f := range c.Faults {
		out.Faults = append(out.Faults, rpc.Fault(f))
	}
	return out
}

func (s served) LastHeard(nodeID string) (rpc.Progress, bool) {
	p, ok := s.Node.LastHeard(nodeID)
	return rpc.Progress(p), ok
}

func (s served) Members() []rpc.Member { return membersOf(s.Node.Members()) }

func (s served) Roster() ([]rpc.Member, uint64) {
	all, index := s.Node.Roster()
	return membersOf(all), index
}

func membersOf(all []node.Member) []rpc.Member {
	out := make([]rpc.Member, len(all))
	for i, m := range all {
		out[i] = rpc.Member(m)
	}
	return out
}

func (s served) Leader() (rpc.Member, bool) {
	m, ok := s.Node.Leader()
	return rpc.Member(m), ok
}

func (s served) Dial(ctx context.Context, m rpc.Member, protocol string) (net.Conn, error) {
	return s.Node.Dial(ctx, node.Member(m), protocol)
}

func (s served) Enrol(ctx context.Context, req rpc.EnrolArgs, by access.Actor) (*rpc.Enrolment, error) {
	e, err := s.Node.Enrol(ctx, node.EnrolRequest(req), by)
	return (*rpc.Enrolment)(e), err
}

func (s served) Renew(ctx context.Context, csr []byte, by access.Actor) (*rpc.Enrolment, error) {
	e, err := s.Node.Renew(ctx, csr, by)
	return (*rpc.Enrolment)(e), err
}

func (s served) Rotate(ctx context.Context, args rpc.RotateArgs, by access.Actor) (*rpc.Authorities, error) {
	a, err := s.Node.Rotate(ctx, node.RotateRequest(args), by)
	return (*rpc.Authorities)(a), err
}

// toldOff gives the goodbye of another node the form in which this one heeds it.
func toldOff(err error) error {
	var why *rpc.Goodbye
	switch {
	case !errors.As(err, &why) || why.Err.Code != store.CodeDenied:
		return err
	case why.Removed:
		return fmt.Errorf("%w: %w", node.ErrRemoved, why.Err)
	}
	return fmt.Errorf("%w: %w", node.ErrRevoked, why.Err)
}

func (s served) Admit(ctx context.Context, req rpc.AdmitArgs) error {
	return s.Node.Admit(ctx, node.AdmitRequest(req))
}

func (s served) Remove(ctx context.Context, args rpc.RemoveArgs, by access.Actor) (*rpc.Removal, error) {
	r, err := s.Node.Remove(ctx, node.RemoveRequest{Name: args.Name, ID: args.RequestID, AgeUS: args.AgeUS, NoTime: args.NoTime, Again: args.Again, Members: args.Members, Decided: args.Decided, Left: args.Left}, by)
	if err != nil {
		return nil, err
	}
	return &rpc.Removal{Gone: rpc.Member(r.Gone), Voters: r.Voters, CanLose: r.CanLose}, nil
}

func (s served) Promote(ctx context.Context, name string, by access.Actor) (*rpc.Promotion, error) {
	p, err := s.Node.Promote(ctx, name, by)
	if err != nil {
		return nil, err
	}
	return &rpc.Promotion{Member: rpc.Member(p.Member), Voters: p.Voters, CanLose: p.CanLose, Changed: p.Changed}, nil
}

func (s served) Transfer(ctx context.Context, args rpc.TransferArgs, by access.Actor) (*rpc.Transferred, error) {
	t, err := s.Node.Transfer(ctx, node.TransferRequest(args), by)
	return (*rpc.Transferred)(t), err
}

func (s served) Restore(ctx context.Context, archive io.Reader, args rpc.RestoreArgs, by access.Actor) (*rpc.Restored, error) {
	r, err := s.Node.Restore(ctx, archive, node.RestoreRequest{ID: args.RequestID, AgeUS: args.AgeUS, NoTime: args.NoTime, DryRun: args.DryRun, Expect: args.ExpectRevision}, by)
	return (*rpc.Restored)(r), err
}

// auditDir is the directory of the audit log in a data directory.
const auditDir = "audit"

var _ rpc.Recorder = (*audit.Log)(nil)

// openAudit opens the record of a node that runs, which has the data directory's
// lock and knows how much room its disk has.
func openAudit(n *node.Node, config node.Config, required bool) *audit.Log {
	dir := filepath.Join(config.Dir, auditDir)
	l := audit.Open(audit.Options{Dir: dir, Node: n.Name(), Required: required, Log: config.Log,
		Space: func() (bool, uint64) { return n.Space(dir) }})
	text := "version " + config.Version
	if required {
		text += ", with --audit-required"
	}
	l.Record(audit.Event{Actor: "system", Type: audit.TypeStart, Target: "node/" + n.Name(), Result: audit.OK, Message: text})
	return l
}

func (s served) CreateToken(ctx context.Context, args rpc.TokenArgs, by access.Actor) (*rpc.Recorded, error) {
	a, err := s.Node.CreateToken(ctx, node.TokenRequest(args), by)
	return (*rpc.Recorded)(a), err
}

func (s served) Rekey(ctx context.Context, args rpc.RekeyArgs, by access.Actor) (*rpc.RekeyReply, error) {
	r, err := s.Node.Rekey(ctx, args.Roll, by)
	return (*rpc.RekeyReply)(r), err
}

func (s served) RevokeToken(ctx context.Context, id string, by access.Actor) (*rpc.Recorded, error) {
	a, err := s.Node.RevokeToken(ctx, id, by)
	return (*rpc.Recorded)(a), err
}
