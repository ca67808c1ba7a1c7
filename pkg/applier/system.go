package applier

import (
	"github.com/cpctl/cpctl/pkg/mutation"
	"github.com/cpctl/cpctl/pkg/store"
)

// Where the cluster keeps what it knows of itself.
const (
	ClusterPath = "system/cluster.json"
	EpochPath   = "system/epoch.json"
	CertsPrefix = "system/certs/"
	exports     = "system/exports/"
)

// CertPath is where the record of a certificate is.
func CertPath(serial string) string { return CertsPrefix + serial + ".json" }

// ExportsPath is where the exports of an owner's keys are on record.
func ExportsPath(slug string) string { return exports + slug + ".json" }

func (ch *change) applySystem(m *mutation.Mutation) error {
	switch m.Kind {
	case mutation.SysEpoch:
		return ch.epoch(m)
	case mutation.SysFound:
		return ch.found(m)
	case mutation.SysRecover:
		return ch.recover(m)
	case mutation.SysLevel:
		return ch.raise(m)
	case mutation.SysCert:
		return ch.certificate(m)
	case mutation.SysRevoke:
		return ch.revoke(m)
	case mutation.SysCA:
		return ch.succession(m)
	case mutation.SysAnswer:
		return ch.answered(m)
	case mutation.SysExport:
		return ch.export(m)
	case mutation.SysToken:
		return ch.token(m)
	case mutation.SysTokenRevoke:
		return ch.revokeToken(m)
	case mutation.SysEnrol:
		return ch.enrol(m)
	case mutation.SysRekey:
		return ch.rekey(m)
	case mutation.SysRewrap:
		return ch.rewrap(m)
	case mutation.SysLeave:
		return ch.leave(m)
	case mutation.SysVote:
		return ch.vote(m)
	case mutation.SysAutoremove:
		return ch.autoremove(m)
	case mutation.SysStageBegin:
		return ch.stageBegin(m)
	case mutation.SysStagePut:
		return ch.stagePut(m)
	case mutation.SysStageCommit:
		return ch.stageCommit(m)
	case mutation.SysStageAbort:
		return ch.stageAbort(m)
	}
	return store.Errorf(store.CodeInternal, "no applier for %s", m.Kind) // decoding lets no other kind through
}

// epoch marks the first entry of a leader. An upload that an earlier leader
// had open is forgotten: nobody is left to finish it.
func (ch *change) epoch(m *mutation.Mutation) error {
	e, err := decode[mutation.Epoch](m)
	if err != nil {
		return err
	}
	if ch.OpenStage() != nil {
		ch.DropStage()
	}
	return ch.PutSystem(EpochPath, e)
}

func (ch *change) found(m *mutation.Mutation) error {
	f, err := decode[mutation.Found](m)
	if err != nil {
		return err
	}
	if ch.Get(ClusterPath) != nil {
		return store.Errorf(store.CodeExists, "this cluster is founded already")
	}
	counters := ch.Counters()
	counters.Level = f.Level
	ch.SetCounters(counters)
	return ch.PutSystem(ClusterPath, f)
}

// raise sets the level of rules. It never falls.
func (ch *change) raise(m *mutation.Mutation) error {
	r, err := decode[mutation.Raise](m)
	if err != nil {
		return err
	}
	counters := ch.Counters()
	if r.Level < counters.Level {
		return store.Errorf(store.CodeRefused, "the level is %d and cannot fall to %d", counters.Level, r.Level)
	}
	counters.Level = r.Level
	ch.SetCounters(counters)
	return nil
}

// decode returns the payload of one of the cluster's own mutations. An entry
// whose payload cannot be decoded never comes this far.
func decode[T any](m *mutation.Mutation) (T, error) {
	var zero T
	v, err := m.System()
	if err != nil {
		return zero, store.Errorf(store.CodeInternal, "%s: %v", m.Kind, err)
	}
	p, ok := v.(*T)
	if !ok {
		return zero, store.Errorf(store.CodeInternal, "%s has a payload of another kind", m.Kind)
	}
	return *p, nil
}
