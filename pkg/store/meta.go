package store

// Meta is what the server sets on every document. Its two revisions are put in
// by applying (see Stamp); the rest comes with the command.
type Meta struct {
	CreateRevision uint64 `json:"create_revision"`
	Revision       uint64 `json:"revision"`
	CreatedAt      Time   `json:"created_at"`
	UpdatedAt      Time   `json:"updated_at"`
	UpdatedBy      string `json:"updated_by"`
}
