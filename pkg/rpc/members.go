package rpc

import (
	"context"
	"errors"
	"time"

	"github.com/cpctl/cpctl/pkg/access"
	"github.com/cpctl/cpctl/pkg/applier"
	"github.com/cpctl/cpctl/pkg/mutation"
	"github.com/cpctl/cpctl/pkg/store"
)

// RemoveArgs asks to remove a member. With the same request id it happens once.
type RemoveArgs struct {
	Name      string     `json:"name"`
	RequestID string     `json:"request_id,omitempty"`
	AgeUS     int64      `json:"age_us,omitempty"`  // since the caller first made it, microseconds
	NoTime    bool       `json:"no_time,omitempty"` // the id tells nothing of its age
	Again     bool       `json:"again,omitempty"`   // an earlier attempt may be on its way still
	Members   uint64     `json:"members,omitempty"` // Roster.Index that the caller has seen: others have changed nothing since; 0: any
	Decided   store.Time `json:"decided,omitempty"` // Roster.Decided that the caller has seen
	Left      bool       `json:"left,omitempty"`    // the node itself was told to leave
}

// Removal is what a leader answers.
type Removal struct {
	Gone    Member
	Voters  int
	CanLose int
}

// RemoveReply says what is left.
type RemoveReply struct {
	Removed MemberName `json:"removed"`
	*Votes             // nil: not known where the answer comes from
}

// MemberName says which member it is.
type MemberName struct {
	Name    string `json:"name"`
	ID      string `json:"id"`
	Address string `json:"address"`
}

// Votes is what a cluster can bear.
type Votes struct {
	Voters  int `json:"voters"`
	CanLose int `json:"can_lose"` // how many more voters may fail before writes stop
}

// MemberRef names a member, or its id.
type MemberRef struct {
	Name string `json:"name"`
}

// Promotion is what a leader answers.
type Promotion struct {
	Member  Member
	Voters  int
	CanLose int
	Changed bool
}

// PromoteReply says who votes now.
type PromoteReply struct {
	Promoted MemberName `json:"promoted"`
	Votes
	Changed bool `json:"changed"` // it did not vote before
}

// LeaveArgs tells the node that is asked to leave.
type LeaveArgs struct {
	RequestID string `json:"request_id"`
	AgeUS     int64  `json:"age_us,omitempty"`
	NoTime    bool   `json:"no_time,omitempty"`
}

// Roster is who the members are, as the leader has it now. Index is of the entry
// that made them so: it changes with every change of them.
type Roster struct {
	Index   uint64     `json:"index"`
	Decided store.Time `json:"decided,omitempty"` // when the newest removal was decided that is not done yet
	Members []Member   `json:"members"`
}

// AutoremoveArgs says when members that are lost are removed; nil: tell how it is set.
type AutoremoveArgs struct {
	Set  *Autoremove `json:"set,omitempty"`
	Seen *Autoremove `json:"seen,omitempty"` // how it was set before: only then; nil: however it was
}

// Autoremove is after how long, while how many voters answer without the lost
// one. No time: never.
type Autoremove struct {
	After     store.Duration `json:"after"`
	MinVoters int            `json:"min_voters"`
}

// AutoremoveReply is how it is set.
type AutoremoveReply struct {
	Autoremove
	Index uint64 `json:"index"`
}

// Remove takes a member out of the cluster.
func (c *Cluster) Remove(call *Call[RemoveArgs], reply *Reply[*RemoveReply]) error {
	return serve(call, reply, func(ctx context.Context) (*RemoveReply, error) {
		call.Args.Left = false // Leave says so
		return c.s.remove(ctx, call.Args, call.by())
	})
}

func (s *Server) remove(ctx context.Context, args RemoveArgs, by access.Actor) (*RemoveReply, error) {
	r, err := onLeader(ctx, s, func(ctx context.Context) (*RemoveReply, error) { return s.removeHere(ctx, args, by) }, "Peer.Remove", by, args)
	var bye *Goodbye
	if !errors.As(err, &bye) || !bye.Removed {
		return r, err
	}
	if args.Name == s.node.Name() || args.Name == s.node.ID() { // the answer was overtaken by what it is about
		return &RemoveReply{Removed: MemberName{Name: s.node.Name(), ID: s.node.ID()}}, nil
	}
	return nil, store.Errorf(store.CodeDenied, "nothing was changed: the node that was asked, %q, is no member any more: %s", s.node.Name(), bye.Err.Message).
		WithHint("ask another one with --server; see: cpctl cluster members")
}

func (s *Server) removeHere(ctx context.Context, args RemoveArgs, by access.Actor) (*RemoveReply, error) {
	r, err := s.node.Remove(ctx, args, by)
	if err != nil {
		return nil, err
	}
	return &RemoveReply{Removed: nameOf(r.Gone), Votes: &Votes{r.Voters, r.CanLose}}, nil
}

func nameOf(m Member) MemberName { return MemberName{Name: m.Name, ID: m.ID, Address: m.Address} }

// Remove is Cluster.Remove, forwarded.
func (p *Peer) Remove(call *Call[RemoveArgs], reply *Reply[*RemoveReply]) error {
	return serve(call, reply, func(ctx context.Context) (*RemoveReply, error) { return p.s.removeHere(ctx, call.Args, call.by()) })
}

// Roster tells who the members are.
func (c *Cluster) Roster(call *Call[struct{}], reply *Reply[*Roster]) error {
	return serve(call, reply, func(ctx context.Context) (*Roster, error) {
		s := c.s
		if err := s.allowed(ctx, call.by(), access.Status); err != nil {
			return nil, err
		}
		index, err := s.readIndex(ctx)
		if err == nil {
			err = s.node.WaitApplied(ctx, index)
		}
		if err != nil {
			return nil, err
		}
		decided := lastDecided(s.node.Image()) // before the members: what is decided in between, the caller has not seen
		members, index := s.node.Roster()
		return &Roster{Index: index, Decided: decided, Members: members}, nil
	})
}

// lastDecided is when the newest removal was decided that is not done yet.
func lastDecided(img *store.Image) (at store.Time) {
	var gone mutation.LeavingNodes
	img.System(applier.LeavingPath, &gone)
	for _, l := range gone.Nodes {
		at = max(at, l.At)
	}
	return at
}

// Promote gives a vote to a member that has none.
func (c *Cluster) Promote(call *Call[MemberRef], reply *Reply[*PromoteReply]) error {
	return serve(call, reply, func(ctx context.Context) (*PromoteReply, error) {
		s, by := c.s, call.by()
		return onLeader(ctx, s, func(ctx context.Context) (*PromoteReply, error) { return s.promoteHere(ctx, call.Args, by) }, "Peer.Promote", by, call.Args)
	})
}

// Promote is Cluster.Promote, forwarded.
func (p *Peer) Promote(call *Call[MemberRef], reply *Reply[*PromoteReply]) error {
	return serve(call, reply, func(ctx context.Context) (*PromoteReply, error) { return p.s.promoteHere(ctx, call.Args, call.by()) })
}

func (s *Server) promoteHere(ctx context.Context, args MemberRef, by access.Actor) (*PromoteReply, error) {
	p, err := s.node.Promote(ctx, args.Name, by)
	if err != nil {
		return nil, err
	}
	return &PromoteReply{Promoted: nameOf(p.Member), Votes: Votes{p.Voters, p.CanLose}, Changed: p.Changed}, nil
}

// SetAutoremove sets when members that are lost are removed.
func (c *Cluster) SetAutoremove(call *Call[AutoremoveArgs], reply *Reply[*AutoremoveReply]) error {
	return serve(call, reply, func(ctx context.Context) (*AutoremoveReply, error) {
		s, by := c.s, call.by()
		if call.Args.Set == nil {
			if err := s.allowed(ctx, by, access.Status); err != nil {
				return nil, err
			}
			img, _, err := s.image(ctx, by, ReadOptions{})
			if err != nil {
				return nil, err
			}
			r := &AutoremoveReply{Index: img.Index}
			if a := autoremove(img); a != nil {
				r.Autoremove = *a
			}
			return r, nil
		}
		return onLeader(ctx, s, func(ctx context.Context) (*AutoremoveReply, error) { return s.autoremoveHere(ctx, call.Args, by) }, "Peer.SetAutoremove", by, call.Args)
	})
}

// SetAutoremove is Cluster.SetAutoremove, forwarded.
func (p *Peer) SetAutoremove(call *Call[AutoremoveArgs], reply *Reply[*AutoremoveReply]) error {
	return serve(call, reply, func(ctx context.Context) (*AutoremoveReply, error) {
		return p.s.autoremoveHere(ctx, call.Args, call.by())
	})
}

func (s *Server) autoremoveHere(ctx context.Context, args AutoremoveArgs, by access.Actor) (*AutoremoveReply, error) {
	if args.Set == nil {
		return nil, store.Errorf(store.CodeInvalid, "nothing to set")
	}
	index, err := s.node.SetAutoremove(ctx, mutation.Autoremove(*args.Set), (*mutation.Autoremove)(args.Seen), by)
	if err != nil {
		return nil, err
	}
	return &AutoremoveReply{*args.Set, index}, nil
}

// farewellTime is how long a node that leaves waits for whoever told it to: they
// hang up when they have the answer.
const farewellTime = 5 * time.Second

// leavePause is between attempts to find a leader that takes this node out.
const leavePause = 50 * time.Millisecond

// Leave takes the node that is asked out of the cluster, and ends it.
func (c *Cluster) Leave(call *Call[LeaveArgs], reply *Reply[*RemoveReply]) error {
	return serve(call, reply, func(ctx context.Context) (*RemoveReply, error) {
		s, by := c.s, call.by()
		if err := access.Check(by, access.Members, ""); err != nil {
			return nil, err
		}
		done := s.node.Departing()
		r, err := s.takeLeave(ctx, call.Args, by)
		if err != nil {
			done()
			return nil, err
		}
		go func() {
			select {
			case <-call.caller.gone.Done():
			case <-time.After(farewellTime):
			}
			s.node.Depart(by.String())
			done()
		}()
		return r, nil
	})
}

// takeLeave asks the leader, whoever that is by then: a node that leads is followed by
// another first.
func (s *Server) takeLeave(ctx context.Context, args LeaveArgs, by access.Actor) (*RemoveReply, error) {
	ask := RemoveArgs{Name: s.node.ID(), RequestID: args.RequestID, AgeUS: args.AgeUS, NoTime: args.NoTime, Left: true}
	began := time.Now()
	var unknown error // of an attempt that may have been decided
	for {
		ask.AgeUS = args.AgeUS + time.Since(began).Microseconds()
		r, err := s.remove(ctx, ask, by)
		ask.Again = true
		if errors.Is(err, store.ErrUnknown) {
			unknown = err
		} else if !errors.Is(err, store.ErrUnavailable) {
			return r, err
		}
		select {
		case <-ctx.Done():
			if unknown != nil {
				err = unknown
			}
			return nil, err
		case <-time.After(leavePause):
		}
	}
}

// AskMove asks another member to tell the leader where this node is.
func (s *Server) AskMove(ctx context.Context, m Member, args AdmitArgs) error {
	_, err := ask[AdmitArgs, struct{}](ctx, s.peers, m, "Peer.Join", nil, args)
	return err
}
