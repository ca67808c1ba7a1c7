package applier

import "github.com/cpctl/cpctl/pkg/mutation"

// answered does nothing: the request table remembers what was told, under the id
// of the command, and an attempt of the same request that comes later is told the
// same.
func (ch *change) answered(m *mutation.Mutation) error {
	a, err := decode[mutation.Answered](m)
	if err == nil && a.Refusal != nil {
		return a.Refusal
	}
	return err
}
