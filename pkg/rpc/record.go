package rpc

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/cpctl/cpctl/pkg/access"
	"github.com/cpctl/cpctl/pkg/applier"
	"github.com/cpctl/cpctl/pkg/audit"
	"github.com/cpctl/cpctl/pkg/mutation"
	"github.com/cpctl/cpctl/pkg/pki"
	"github.com/cpctl/cpctl/pkg/store"
)

// Recorder keeps the record of what was asked of this node. *audit.Log does.
type Recorder interface {
	// Ask puts on record what is about to be done, where that is required. An
	// error says that it must not be done.
	Ask(context.Context, audit.Event) error
	Record(audit.Event)
	Required() bool  // Ask does something
	Failing() string // why it cannot record now, "" if it can
	// Recordable is the error of an Ask of now.
	Recordable() error

	Read(behind audit.Cursor, since time.Time, most int) (*audit.Page, error)
	Wait(ctx context.Context, behind uint64)
	End() audit.Cursor
	Verify() (*audit.Report, error)
}

// record is what the server needs to put calls on record. All of them come
// through onRecord.
type record struct {
	Recorder
	open      quiet // what was asked for and is not at its end, by who, what and request id
	refusals  quiet // refused connections and reads, by who it was
	strangers drip  // refused newcomers
	denials   drips // of what somebody may not do, by who it was
}

// RecordWith names who keeps the record, before Serve. Without one there is none.
func (s *Server) RecordWith(r Recorder) { s.record.Recorder = r }

// audited does a method's work, on record if it is one that goes there.
func audited[A, R any](ctx context.Context, call *Call[A], work func(context.Context) (R, error)) (R, error) {
	s, by := call.caller.server, call.by()
	passedOn := call.From != nil && call.caller.By.Role == access.Node
	e := s.eventOf(call.method, by, passedOn, &call.Args)
	v, err := onRecord(ctx, s, e, func(ctx context.Context) (R, error) {
		if err := s.fit(call.method); err != nil {
			var zero R
			return zero, err
		}
		return work(ctx)
	})
	if e == nil && !passedOn && errors.Is(err, store.ErrDenied) {
		s.refused(by, "read", call.method, err)
	}
	return v, err
}

// records reports whether anybody keeps a record. A call that did not come to a
// server has none.
func (s *Server) records() bool { return s != nil && s.record.Recorder != nil }

// eventOf is what a call of a method is on record, nil if it is not: because it
// only reads, or because the node that passed it on has the record.
func (s *Server) eventOf(method string, by access.Actor, passedOn bool, args any) *audit.Event {
	of := acts[method]
	if of == nil || passedOn || !s.records() {
		return nil
	}
	e := of(args)
	if e.Type == "" {
		return nil
	}
	if id, ok := strings.CutPrefix(e.Target, "node/"); ok {
		if name := s.node.NameOf(id); name != "" {
			e.Target = "node/" + name
		}
	}
	e.Actor, e.Serial, e.Source = by.String(), by.Serial, by.Source
	return &e
}

// onRecord does some work between asking for it and saying what came of it.
func onRecord[R any](ctx context.Context, s *Server, e *audit.Event, work func(context.Context) (R, error)) (R, error) {
	if e == nil {
		return work(ctx)
	}
	// The client asks again and again while nobody takes it, or it takes long. One
	// line says that it was asked for, and one how far it came each time that it
	// came on; then comes how it ended.
	r, key := &s.record, e.Actor+" "+e.Type+" "+e.Target+" "+e.RequestID
	if e.Source != access.Unix && r.denials.shut(e.Actor) {
		var zero R
		return zero, store.Errorf(store.CodeUnavailable, "%s asked too often for what it may not do: nothing of it is looked at for a moment", e.Actor).
			WithHint("what each role may do: cpctl help roles")
	}
	if !r.open.has(key) {
		if err := r.Ask(ctx, *e); err != nil {
			var zero R
			return zero, err
		}
	}
	v, err := work(ctx)
	conclude(e, v, err)
	if stage := stageOf(e, v); stage == "" {
		r.open.forget(key)
	} else if first, _ := r.open.first(key, stage); !first {
		return v, err
	}
	// Who may do nothing may still ask: their lines must not drive those of others
	// out of the record.
	if e.Result == string(store.CodeDenied) && e.Source != access.Unix {
		drop, dropped := r.denials.drop(e.Actor)
		if drop {
			return v, err
		}
		if dropped > 0 {
			e.Message = fmt.Sprintf("%d more of its calls before; %s", dropped, e.Message)
		}
	}
	r.Record(*e)
	return v, err
}

// stageOf is how far something has come that the caller will ask for again by
// itself, "" if it is at its end.
func stageOf(e *audit.Event, reply any) string {
	if r, ok := reply.(*RekeyReply); ok && e.Result == audit.OK && !r.Done {
		return r.Phase
	}
	if e.Result == string(store.CodeUnavailable) {
		return e.Result
	}
	return ""
}

// onRecordOf does so for somebody who has shown nothing but the id of a token.
// Strangers make such ids up by the thousand: no line is written for one before
// it is known, and not for each that was refused.
func (s *Server) onRecordOf(ctx context.Context, token string, e *audit.Event, work func(context.Context) (*Enrolment, error)) (*Enrolment, error) {
	if e == nil {
		return work(ctx)
	}
	if s.record.Required() {
		known, err := s.tokenKnown(ctx, token)
		if err == nil && known {
			err = s.record.Ask(ctx, *e)
		}
		if err != nil {
			return nil, err
		}
	}
	v, err := work(ctx)
	conclude(e, v, err)
	if err != nil {
		drop, dropped := s.record.strangers.drop()
		if drop {
			return v, err
		}
		if dropped > 0 {
			e.Message = fmt.Sprintf("%d more refused newcomers before; %s", dropped, e.Message)
		}
	}
	s.record.Record(*e)
	return v, err
}

// tokenKnown reports whether the cluster had a token when it was asked.
func (s *Server) tokenKnown(ctx context.Context, id string) (bool, error) {
	path := applier.TokenPath(id)
	if s.node.Image().Get(path) != nil {
		return true, nil
	}
	img, _, err := s.image(ctx, access.Actor{}, ReadOptions{}) // it may be newer than this node is
	return err == nil && img.Get(path) != nil, err
}

// conclude notes what came of it.
func conclude(e *audit.Event, reply any, err error) {
	e.Result = audit.OK
	if err != nil {
		refused := typed(err)
		e.Result, e.Message = string(refused.Code), messageOf(refused)
		return
	}
	switch v := reply.(type) {
	case *mutation.Answer:
		e.Index, e.Revision = v.Index, v.Revision
		if v.Name != "" { // also of a name that the leader made
			e.Target = v.Name
		}
		switch {
		case v.Replayed:
			e.Result = audit.Replayed
		case v.DryRun:
			e.Result = audit.DryRun
		case v.Outcome == mutation.Unchanged:
			e.Result = audit.Unchanged
		}
	case *RestoreReply:
		e.Index, e.Revision = v.Index, v.Revision
		switch {
		case v.Replayed:
			e.Result = audit.Replayed
		case v.DryRun:
			e.Result = audit.DryRun
		case v.ChangedTotal == 0:
			e.Result = audit.Unchanged
		}
	case *store.Image:
		e.Index, e.Revision = v.Index, v.Revision()
	case *TokenReply:
		e.Index = v.Index
	case *Recorded:
		e.Index = v.Index
	case *Enrolment:
		if v == nil {
			return
		}
		if id, err := identityIn(v.CertPEM); err == nil {
			e.Message = "certificate " + id.Serial
			if e.Target = id.String(); id.Role == access.Node {
				e.Target = "node/" + id.Name
			}
		}
	case *ExportReply:
		e.Index, e.Target = v.Index, "key/"+v.Tenant+"/"+v.KID
	case *RevokeReply:
		c := v.Certificate
		e.Index, e.Message = v.Index, "of "+access.Actor{Role: access.Role(c.Role), Name: c.Name, Tenant: c.Tenant}.String()
	case *Authorities:
		e.Message = v.Phase + ", authority " + v.Signs + " signs"
	case *RekeyReply:
		e.Index, e.Message = v.Index, v.Phase+", key "+v.KeyID
	case *PromoteReply:
		if e.Target = "node/" + v.Promoted.Name; !v.Changed {
			e.Result = audit.Unchanged
		}
	case *AutoremoveReply:
		e.Index = v.Index
	case *Transferred:
		e.Index, e.Target, e.Message = v.Index, "node/"+v.Leader, "from node/"+v.From
		if !v.Changed {
			e.Result, e.Message = audit.Unchanged, ""
		}
	case *RemoveReply:
		e.Target = "node/" + v.Removed.Name
	}
}

// identityIn is whom a certificate names.
func identityIn(certPEM []byte) (pki.Identity, error) {
	block, _ := pem.Decode(certPEM)
	if block == nil {
		return pki.Identity{}, errors.New("no certificate")
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return pki.Identity{}, err
	}
	return pki.IdentityOf(cert)
}

// messageOf is a refusal in few words. What is invalid, or went wrong inside, may
// be told in the words of the caller's document: of that only the paths are kept.
func messageOf(e *store.Error) string {
	switch e.Code {
	case store.CodeInvalid, store.CodeInternal:
		paths := make([]string, len(e.Fields))
		for i, f := range e.Fields {
			paths[i] = f.Path
		}
		return strings.Join(paths, ", ")
	}
	return e.Message
}

// unreadable records a call whose arguments are none.
func (s *Server) unreadable(by access.Actor, method string) {
	if acts[method] != nil {
		s.refused(by, "call", method, store.Errorf(store.CodeInvalid, ""))
	}
}

// Refused records that a connection of somebody with a certificate of this
// cluster was refused.
func (s *Server) Refused(by access.Actor, protocol string, err error) {
	s.refused(by, "connect", protocol, err)
}

// refused records what cost the caller nothing to try, and is therefore not
// recorded each time: a peer that goes on and on must not fill the disk, nor
// drive what others did out of the record.
func (s *Server) refused(by access.Actor, what, target string, err error) {
	if !s.records() {
		return
	}
	first, skipped := s.record.refusals.first(by.String()+" "+by.Serial+" "+what+" "+target, "")
	if !first {
		return
	}
	refused := typed(err)
	if refused.Code == store.CodeInternal { // of a handshake: about certificates, not documents
		refused = store.Errorf(store.CodeDenied, "%v", err)
	}
	e := audit.Event{Actor: by.String(), Serial: by.Serial, Source: by.Source, Type: what, Target: target,
		Result: string(refused.Code), Message: messageOf(refused)}
	if skipped > 0 {
		e.Message = fmt.Sprintf("%d more since the last line of this kind; %s", skipped, e.Message)
	}
	s.record.Record(e)
}
