package applier

import (
	"reflect"
	"testing"

	"github.com/cpctl/cpctl/pkg/mutation"
	"github.com/cpctl/cpctl/pkg/store"
)

// What a request was told is the answer to the attempt that comes later: it
// changes nothing, whatever it could do by then.
func TestAnAnswerIsTheLastWord(t *testing.T) {
	for _, c := range []struct {
		fact string
		told mutation.Answered
	}{
		{"refused", mutation.Answered{Refusal: store.Errorf(store.CodeExists, "it is there").WithHint("look")}},
		{"nothing to change", mutation.Answered{}},
	} {
		w := populated(t)
		late := w.command(w.createClient("acme", "late", machine))
		before := w.image()
		res := w.apply(w.again(late, w.system(mutation.SysAnswer, c.told)))
		if (res.Refusal == nil) != (c.told.Refusal == nil) || !reflect.DeepEqual(res.Refusal, c.told.Refusal) || len(res.Names) > 0 || res.Revision != before.Revision() {
			t.Errorf("%s: %+v", c.fact, res)
		}
		w.restart()
		got := wantNothing(t, w, c.fact, late)
		if got.Replayed == nil || (got.Refusal == nil) != (c.told.Refusal == nil) {
			t.Errorf("%s: the late attempt: %+v", c.fact, got)
		}
	}
}
