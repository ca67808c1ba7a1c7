package node

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/hashicorp/raft"
	"golang.org/x/sys/unix"

	"github.com/cpctl/cpctl/pkg/access"
	"github.com/cpctl/cpctl/pkg/disk"
	"github.com/cpctl/cpctl/pkg/mutation"
	"github.com/cpctl/cpctl/pkg/pki"
	"github.com/cpctl/cpctl/pkg/store"
)

// A recovery changes three things of a data directory that mean something
// together only: raft/, tls/ and node.json. The next ones are made beside them,
// raft/ in raft.new/ and the rest in recovering.json, which is written last.
// Before that file is there, nothing has happened: raft.new/ is removed by the
// next start. With it, everything has been decided, and whoever comes next, a
// node that starts or the same command again, does what is left to do.
const (
	raftNew        = "raft.new"
	recoveringFile = "recovering.json"
)

// recovering is recovering.json: what the directory is about to become.
type recovering struct {
	Self    *identity `json:"self"`
	KeyPEM  string    `json:"key"`
	CertPEM string    `json:"certificate"`
	CAPEM   string    `json:"ca"`
	Aside   string    `json:"aside"`  // name by which the raft/ of before is kept
	Behind  []string  `json:"behind"` // names of the members that are left behind

	Revision uint64 `json:"revision"` // of the state that it goes on from
	Index    uint64 `json:"index"`
	Unsure   int    `json:"unsure"` // changes in it that were perhaps never acknowledged
}

// recovering returns the recovery that was begun in the directory, nil if none was.
func (d *dataDir) recovering() (*recovering, error) {
	r := new(recovering)
	if found, err := d.loadRecord(recoveringFile, r); !found {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	if r.Self == nil || r.Aside == "" {
		return nil, store.Errorf(store.CodeIntegrity, "%s says nothing", d.file(recoveringFile))
	}
	return r, nil
}

// finishRecovery does what is left to do. Each step may be the last before the
// machine stops, and may be done twice.
func (d *dataDir) finishRecovery(r *recovering) error {
	if _, err := os.Lstat(d.file(raftNew)); err == nil {
		if _, err := os.Lstat(d.file("raft")); err == nil {
			if err := disk.Move(d.disk, d.file("raft"), d.file(r.Aside)); err != nil {
				return err
			}
		}
		if err := disk.Move(d.disk, d.file(raftNew), d.file("raft")); err != nil {
			return err
		}
	} else if !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if err := d.replaceTLS(pki.Credentials{CertPEM: []byte(r.CertPEM), KeyPEM: []byte(r.KeyPEM), CAPEM: []byte(r.CAPEM)}); err != nil {
		return err
	}
	if err := d.save(r.Self); err != nil {
		return err
	}
	if err := disk.Remove(d.disk, d.file(recoveringFile)); err != nil {
		return err
	}
	return disk.SyncDir(d.disk, d.path) // else it would be done again, over a later certificate
}

// Recovered is what became of a directory.
type Recovered struct {
	Name       string
	NodeID     string
	ClusterID  string
	Generation uint64
	Recovery   string
	Aside      string   // path of the raft/ of before
	Behind     []string // names of the members that were left behind
	Revision   uint64
	Index      uint64 // of the state that it goes on from
	Unsure     int    // changes in it that were perhaps never acknowledged
	Resumed    bool   // it had been begun before
}

// Recover makes the node of this directory the only member of the next generation
// of its cluster. All entries of its log count from now on. It may be
// cut short at every step and done again; until the last one has begun the
// directory is what it was.
func (s *Survivor) Recover(now time.Time) (*Recovered, error) {
	return s.recoverOn(disk.Real{}, now)
}

func (s *Survivor) recoverOn(fs disk.FS, now time.Time) (*Recovered, error) {
	d := &dataDir{path: s.dir.path, lock: s.dir.lock, disk: fs}
	if err := ownDir(d.path); err != nil {
		return nil, err
	}
	if s.begun != nil {
		return s.recovered(s.begun, true), d.finishRecovery(s.begun)
	}
	if s.Gone != "" {
		return nil, store.Errorf(store.CodeRefused, "the cluster cannot go on from %s: %s", s.Dir, s.Gone)
	}
	if !s.Whole() {
		return nil, store.Errorf(store.CodeIntegrity, "the cluster cannot go on from %s: it is damaged", s.Dir).WithHint("see: cpctl recover plan --dir %s", s.Dir)
	}
	aside := fmt.Sprintf("raft.before-%d", s.Generation+1)
	if _, err := os.Lstat(d.file(aside)); !errors.Is(err, os.ErrNotExist) {
		return nil, store.Errorf(store.CodeRefused, "%s is there already: this directory was recovered before, or is a copy of one that was", d.file(aside)).
			WithHint("nothing was changed; if it is of no use any more, move it away")
	}
	if err := disk.Remove(fs, d.file(raftNew)); err != nil { // of an attempt that was cut short
		return nil, err
	}
	r, record, err := s.next(now)
	if err != nil {
		return nil, err
	}
	r.Aside = aside
	begins, err := payload(mutation.SysRecover, mutation.Recover{Generation: r.Self.Generation, Recovery: r.Self.Recovery, Certificate: record})
	if err != nil {
		return nil, err
	}
	counters := s.Image.Counters()
	b := &beginning{
		clusterID: s.ClusterID, state: s.Image, term: s.raft.term + 1,
		self: raft.Server{Suffrage: raft.Voter, ID: raft.ServerID(s.NodeID), Address: joinAddress(s.NodeID, s.Address)},
		command: &mutation.Command{Op: string(mutation.SysRecover), Actor: actorSystem, Level: counters.Level,
			Time: max(store.TimeOf(now), counters.Time+1), Mutations: []mutation.Mutation{begins}},
	}
	if err := disk.MakeAll(fs, d.file(raftNew)); err != nil {
		return nil, err
	}
	if _, err := b.lay(fs, d.file(raftNew)); err != nil {
		return nil, errors.Join(err, disk.Remove(fs, d.file(raftNew)))
	}
	if err := d.saveRecord(recoveringFile, r); err != nil {
		return nil, err
	}
	return s.recovered(r, false), d.finishRecovery(r)
}

// next is who the node will be, and what goes on record of its certificate.
func (s *Survivor) next(now time.Time) (*recovering, mutation.Certificate, error) {
	var record mutation.Certificate
	self := *s.self
	self.Generation, self.Phase, self.Gone, self.Voter = s.Generation+1, phaseMember, "", true
	var err error
	if self.Recovery, err = pki.NewRecovery(); err != nil {
		return nil, record, err
	}
	ca, err := authorityIn(s.Image, *s.keys)
	if err != nil {
		return nil, record, err
	}
	csr, signer, err := pki.NewCSR(s.Name)
	if err != nil {
		return nil, record, err
	}
	key, err := pki.EncodeKeyPEM(signer)
	if err != nil {
		return nil, record, err
	}
	cert, serial, err := ca.Sign(csr, self.certified(), defaultCertTTL, now)
	if err != nil {
		return nil, record, err
	}
	_, ends, err := pki.Credentials{CertPEM: cert}.Term()
	if err != nil {
		return nil, record, err
	}
	record = mutation.Certificate{Serial: serial, Role: string(access.Node), Name: s.Name, NodeID: s.NodeID, Voter: true,
		NotAfter: store.TimeOf(ends), IssuedAt: store.TimeOf(now), Authority: ca.ID()}
	f := foundIn(s.Image)
	r := &recovering{Self: &self, KeyPEM: string(key), CertPEM: string(cert), CAPEM: f.Bundle(), Behind: []string{},
		Revision: s.Image.Revision(), Index: s.LastIndex, Unsure: s.unsure(s.committed)}
	for _, m := range s.Members {
		if m.ID != s.NodeID {
			r.Behind = append(r.Behind, cmp.Or(m.Name, m.ID))
		}
	}
	return r, record, nil
}

func (s *Survivor) recovered(r *recovering, resumed bool) *Recovered {
	return &Recovered{Name: r.Self.Name, NodeID: r.Self.NodeID, ClusterID: r.Self.ClusterID, Generation: r.Self.Generation, Recovery: r.Self.Recovery,
		Aside: s.dir.file(r.Aside), Behind: r.Behind, Revision: r.Revision, Index: r.Index, Unsure: r.Unsure, Resumed: resumed}
}

// ownDir refuses to put files into a directory that its node could not read then.
func ownDir(path string) error {
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		return &os.PathError{Op: "stat", Path: path, Err: err}
	}
	if me := os.Geteuid(); int(st.Uid) != me {
		return store.Errorf(store.CodeRefused, "%s belongs to user %d, and this is user %d: the node could not read what is put into it", path, st.Uid, me).
			WithHint("nothing was changed; run it as that user: sudo -u '#%d' cpctl ...", st.Uid)
	}
	return nil
}
