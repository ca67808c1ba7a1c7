package store

import "iter"

// Limits of a stage: what one holds, and what one put may carry.
const (
	MaxStage    = 512 << 20
	MaxStagePut = 180 << 10 // base64 makes 240 KiB of it, below the limit of a command
)

const stagePath = "system/stage.json"

// Stage is the open upload of documents that one commit will switch in.
type Stage struct {
	ID    string `json:"id"`
	Actor string `json:"actor"`
	Since Time   `json:"since"`
}

// Staged is what a stage puts at a path: a document, or its absence.
type Staged struct {
	Path string
	Doc  *Doc // nil: the document will be deleted
	sum  Digest
}

// OpenStage returns the stage that is open, nil if none is.
func (s *state) OpenStage() *Stage {
	var st Stage
	if !s.System(stagePath, &st) {
		return nil
	}
	return &st
}

// StagedDocs yields what is staged, in the order of the paths.
func (s *state) StagedDocs() iter.Seq[*Staged] {
	return func(yield func(*Staged) bool) {
		s.staged.Scan(func(_ string, d *Staged) bool { return yield(d) })
	}
}

// StageBytes is how many bytes of documents are staged.
func (s *state) StageBytes() int64 { return s.stageLen }

// BeginStage opens a stage.
func (t *Tx) BeginStage(st Stage) error { return t.PutSystem(stagePath, st) }

// PutStaged stages a document, or its deletion when b is nil. The caller has
// checked the size.
func (t *Tx) PutStaged(path string, b []byte) error {
	if _, err := ParsePath(path); err != nil {
		return err
	}
	s := &Staged{Path: path, sum: term("system/stage/"+path, b)}
	if b != nil {
		d, err := NewDoc(path, b)
		if err != nil {
			return err
		}
		s.Doc = d
	}
	t.unstage(path)
	t.staged.Set(path, s)
	t.all.add(s.sum)
	t.stageLen += int64(len(b))
	return nil
}

func (t *Tx) unstage(path string) {
	if old, ok := t.staged.Delete(path); ok {
		t.all.sub(old.sum)
		if old.Doc != nil {
			t.stageLen -= int64(len(old.Doc.Bytes))
		}
	}
}

// CommitStage switches the staged documents in, with their bytes as they are,
// and closes the stage.
func (t *Tx) CommitStage() {
	for s := range t.StagedDocs() {
		if s.Doc == nil {
			t.del(s.Path)
		} else {
			t.put(s.Doc)
		}
	}
	t.DropStage()
}

// DropStage forgets the stage and what it holds.
func (t *Tx) DropStage() {
	for s := range t.StagedDocs() {
		t.all.sub(s.sum)
	}
	t.staged.Clear()
	t.stageLen = 0
	t.DeleteSystem(stagePath)
}
