package histories

import (
	"fmt"
	"time"
)

const web = "tenants/acme/clients/web.json"

// at is an operation on one client, asked for and answered at these milliseconds.
func at(call, answer int, o Op) *Op {
	o.Doc, o.Call, o.Return = web, time.Duration(call)*time.Millisecond, time.Duration(answer)*time.Millisecond
	if o.Kind == Restore {
		o.Doc = ""
	}
	if o.Client == "" {
		o.Client = "a client"
	}
	if o.Node == "" {
		o.Node = "n1"
	}
	if o.Said == "" {
		o.Said = Done
	}
	if o.write() {
		o.ID = fmt.Sprintf("%s-%s-%d", o.Kind, o.Value, call)
	}
	return &o
}

func create(value string, revision uint64) Op {
	return Op{Kind: Create, Value: value, Revision: revision}
}

func update(value string, revision uint64) Op {
	return Op{Kind: Update, Value: value, Revision: revision}
}

func updateIf(given uint64, value string, revision uint64) Op {
	return Op{Kind: Update, If: given, Value: value, Revision: revision}
}

func remove(revision uint64) Op { return Op{Kind: Delete, Revision: revision} }

func rotate(revision uint64) Op { return Op{Kind: Rotate, Revision: revision} }

// read was shown a document, from the state at the document's own revision.
func read(value string, revision uint64) Op {
	return Op{Kind: Read, Found: Doc{There: true, Revision: revision, Value: value}, Revision: revision}
}

func readKeys(keys int, revision uint64) Op {
	return Op{Kind: Read, Found: Doc{There: true, Revision: revision, Keys: keys}, Revision: revision}
}

func restore(archived Doc, revision uint64) Op {
	return Op{Kind: Restore, Revision: revision, Archive: map[string]Doc{web: archived}}
}

// said is the operation with another answer.
func (o Op) said(s Said) Op {
	if o.Said = s; s != Done {
		o.Revision = 0
	}
	return o
}

var readNothing = Op{Kind: Read, Said: NotFound}
