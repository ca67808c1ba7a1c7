package mutation

import "github.com/cpctl/cpctl/pkg/store"

// Answered is the payload of sys.answer, in a command with the id of a request
// that was answered from the state: refused, or with nothing to change if there
// is no refusal. From then on that is the answer to every attempt, also to one
// that was sent before and arrives later.
type Answered struct {
	Refusal *store.Error `json:"refusal,omitempty"`
}
