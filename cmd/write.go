package cmd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/cpctl/cpctl/pkg/mutation"
	"github.com/cpctl/cpctl/pkg/store"
)

// writeFlags are on every command that writes.
type writeFlags struct {
	cmd        *cobra.Command
	dryRun     bool
	requestID  string
	ifRevision uint64
	yes        bool
}

func newWriteFlags(cmd *cobra.Command, destructive bool) *writeFlags {
	w := &writeFlags{cmd: cmd}
	fs := cmd.Flags()
	fs.BoolVar(&w.dryRun, "dry-run", false, "have it checked by the leader, change nothing")
	fs.Var(count{&w.ifRevision}, "if-revision", "only if the object is at revision `N`")
	fs.StringVar(&w.requestID, "request-id", "", "`ID` of the change: with the same one it happens once")
	if destructive {
		fs.BoolVarP(&w.yes, "yes", "y", false, "do not ask")
	}
	return w
}

// check refuses flags that name one change where there are several.
func (w *writeFlags) check(names int) error {
	if names > 1 {
		for _, flag := range []string{"request-id", "if-revision"} {
			if w.cmd.Flags().Changed(flag) {
				return usagef("--%s goes with one name, not %d", flag, names)
			}
		}
	}
	if w.cmd.Flags().Changed("request-id") {
		if err := store.CheckRequestID(w.requestID); err != nil {
			return usagef("--request-id: %v", err)
		}
	}
	return nil
}

// request begins the request of a change.
func (w *writeFlags) request(op mutation.Op, ref store.Ref) *mutation.Request {
	req := &mutation.Request{Op: op, Tenant: ref.Tenant, Name: ref.Name, DryRun: w.dryRun, ID: w.requestID}
	if w.cmd.Flags().Changed("if-revision") {
		req.IfRevision = &w.ifRevision
	}
	return req
}

// write sends a request. The error of an unknown outcome says how to settle it.
func (e *Env) write(ctx context.Context, c writer, req *mutation.Request) (*mutation.Answer, error) {
	ans, err := c.Write(ctx, req)
	if err != nil {
		return nil, e.unsettled(err, req.ID)
	}
	return ans, nil
}

// unsettled adds to the error of an unknown outcome the command that settles it:
// the same one again, with the request id that the first attempt had.
func (e *Env) unsettled(err error, id string) error {
	var typed *store.Error
	if !errors.As(err, &typed) || typed.Code != store.CodeUnknown || id == "" {
		return err
	}
	again := e.again(id)
	if e.names > 1 {
		again = "the same command for this one alone, with --request-id " + id
	}
	return typed.WithHint("%s", strings.TrimPrefix(typed.Hint+"\nthe change may have been made; find out, and make it at most once, with:\n"+again, "\n"))
}

// again is the command line that was given, with a request id.
func (e *Env) again(id string) string {
	const flag = "--request-id"
	words, end := []string{"cpctl"}, false
	for i := 0; i < len(e.args); i++ {
		switch a := e.args[i]; {
		case !end && a == flag:
			i++ // its value
		case !end && strings.HasPrefix(a, flag+"="):
		case !end && a == "--": // what follows is no flag
			end, words = true, append(words, flag, id, a)
		default:
			words = append(words, shellWord(a))
		}
	}
	if !end {
		words = append(words, flag, id)
	}
	return strings.Join(words, " ")
}

// answered prints what came of a write: the document, or one line.
func (e *Env) answered(ans *mutation.Answer) error {
	if ans.Note != "" {
		e.note("%s", ans.Note)
	}
	if ans.Replayed {
		e.note("%s: done before under this request id; this is the first answer", ans.Name)
	}
	if !ans.Published && !ans.DryRun && ans.Outcome != mutation.Unchanged {
		e.note("%s: committed; the files of this node do not show it yet", ans.Name)
	}
	doc, err := answerDocument(ans)
	if err != nil {
		return err
	}
	return e.show(doc, ans.Name, func() error {
		line := ans.Name + " " + string(ans.Outcome)
		if ans.DryRun {
			line += " (dry run)"
		}
		if err := e.line(line); err != nil || ans.Secret == "" {
			return err
		}
		e.note("the secret is shown this once")
		return e.pairs([]pair{{"client_secret", ans.Secret}})
	})
}

// deletion is the JSON of a delete.
type deletion struct {
	FormatVersion string   `json:"format_version"`
	Kind          string   `json:"kind"`                    // deletion
	Deleted       []string `json:"deleted"`                 // tenant/acme, ..., at most mutation.MaxListed
	DeletedTotal  int      `json:"deleted_total,omitempty"` // only if the list is cut
	Revision      uint64   `json:"revision"`
	Index         uint64   `json:"index"`
	Replayed      bool     `json:"replayed"`
}

// deleted prints what came of a delete.
func (e *Env) deleted(ans *mutation.Answer) error {
	d := deletion{store.FormatVersion, "deletion", ans.Deleted, 0, ans.Revision, ans.Index, ans.Replayed}
	if ans.DeletedTotal > len(ans.Deleted) {
		d.DeletedTotal = ans.DeletedTotal
	}
	if d.Deleted == nil {
		d.Deleted = []string{} // [], never null
	}
	if e.flags.output == formatJSON || e.flags.output == formatYAML {
		if ans.Note != "" {
			e.note("%s", ans.Note)
		}
		return e.document(d)
	}
	return e.answered(ans)
}

// answerDocument is the JSON of a write: the document as `get` prints it, with
// what is known of the write. A replay of a document that has changed or gone
// since bears its names only.
func answerDocument(ans *mutation.Answer) (json.RawMessage, error) {
	doc := ans.Document
	if len(doc) == 0 || ans.Changed {
		doc = namesOnly(ans)
	}
	more := []member{{"index", ans.Index}, {"replayed", ans.Replayed}, {"published", ans.Published}}
	if ans.Secret != "" {
		more = append(more, member{"client_secret", ans.Secret})
	}
	return with(doc, more...)
}

func namesOnly(ans *mutation.Answer) json.RawMessage {
	ref, err := store.ParseRef(ans.Name)
	if err != nil {
		return json.RawMessage(fmt.Sprintf(`{"format_version":%q,"revision":%d}`, store.FormatVersion, ans.Revision))
	}
	doc := []rawMember{{"format_version", quoted(store.FormatVersion)}, {"kind", quoted(ref.Kind)}}
	switch ref.Kind {
	case "tenant":
		doc = append(doc, rawMember{"slug", quoted(ref.Tenant)})
	case "client":
		doc = append(doc, rawMember{"tenant", quoted(ref.Tenant)}, rawMember{"client_id", quoted(ref.Name)})
	case "scope":
		doc = append(doc, rawMember{"tenant", quoted(ref.Tenant)}, rawMember{"name", quoted(ref.Name)})
	case "key":
		doc = append(doc, rawMember{"tenant", quoted(ref.Tenant)}, rawMember{"kid", quoted(ref.Name)})
	default:
		doc = append(doc, rawMember{"tenant", quoted(ref.Tenant)})
	}
	return object(append(doc, rawMember{"revision", json.RawMessage(fmt.Sprint(ans.Revision))}))
}
