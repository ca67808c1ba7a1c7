package node

import "github.com/cpctl/cpctl/pkg/store"

// begunOnce refuses two directories of one cluster in which a recovery was begun:
// each would become a cluster of its own.
func begunOnce(all []*Survivor) error {
	begun := map[string]*Survivor{}
	for _, s := range all {
		if s.Begun == 0 {
			continue
		}
		if first := begun[s.ClusterID]; first != nil {
			return store.Errorf(store.CodeRefused, "recoveries of one cluster were begun in both %s (generation %d) and %s (generation %d)", first.Dir, first.Begun, s.Dir, s.Begun).
				WithHint("only one of them can be the cluster: finish that one alone, with --dir for it only;\nnever start the other: empty it and join it to the first")
		}
		begun[s.ClusterID] = s
	}
	return nil
}

// differing finds whole directories whose logs end at the same entry and whose
// states are not the same. They are ranked, so those of one entry follow each other.
func differing(ranked []*Survivor) (out [][2]*Survivor) {
	var first *Survivor
	for _, s := range ranked {
		switch {
		case !s.Whole():
		case first == nil || s.LastTerm != first.LastTerm || s.LastIndex != first.LastIndex:
			first = s
		case s.Image.Index == first.Image.Index && s.Image.StateDigest() != first.Image.StateDigest():
			out = append(out, [2]*Survivor{first, s})
		}
	}
	return out
}

// ofOneCluster wants all directories to be of one generation of one cluster.
func ofOneCluster(all []*Survivor) error {
	var first *Survivor
	for _, s := range all {
		if s.self == nil { // who it was cannot be read
			continue
		}
		if first == nil {
			first = s
			continue
		}
		switch {
		case s.ClusterID != first.ClusterID:
			return store.Errorf(store.CodeInvalid, "%s is of cluster %s, %s of cluster %s", s.Dir, s.ClusterID, first.Dir, first.ClusterID).
				WithHint("look at the directories of one cluster at a time")
		case s.Generation != first.Generation:
			old, now := s, first
			if old.Generation > now.Generation {
				old, now = now, old
			}
			return store.Errorf(store.CodeInvalid, "%s is of generation %d of the cluster, %s of generation %d", old.Dir, old.Generation, now.Dir, now.Generation).
				WithHint("%s was left behind when the cluster was recovered; leave it out, and never start it again", old.Dir)
		case s.Recovery != first.Recovery:
			return store.Errorf(store.CodeInvalid, "%s and %s were both recovered as generation %d, each by itself", first.Dir, s.Dir, s.Generation).
				WithHint("only one of them can be the cluster: keep one, stop the other for good, empty it and join it to the first")
		}
	}
	return nil
}
