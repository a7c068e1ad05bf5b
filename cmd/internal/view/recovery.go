package view

import "github.com/felhom/tend/reconcile/plan"

// recoveredFirst is what is cleaned up before a container is made or changed, and the snapshot that is taken first.
func recoveredFirst(l plan.Lane) (rows []Row) {
	for _, s := range l.Steps {
		rows = append(rows, recoveryRows(s)...)
	}
	return rows
}

// recoveryRows are a step that cleans up after an operation that died.
func recoveryRows(s plan.Step) []Row {
	switch op := s.Op.(type) {
	case plan.TakeSnapshot:
		r := Row{Mark: "+", Label: "snapshot", Text: Clean(op.Name), Tone: green}
		if s.Cause != "" {
			r.More = []string{Clean(s.Cause)}
		}
		return []Row{r}
	case plan.Unlock:
		return []Row{{Mark: "-", Label: "lock", Text: Clean(op.Lock), Root: true, Tone: yellow, More: []string{rootNote(s.Access)}}}
	case plan.DeleteSnapshot:
		r := Row{Mark: "-", Label: "snapshot", Text: Clean(op.Name), Tone: yellow}
		if op.Force {
			r.Text += " (with force)"
		}
		if s.Cause != "" {
			r.More = []string{Clean(s.Cause)}
		}
		return []Row{r}
	case plan.RollBack:
		return []Row{{Mark: "~", Label: "roll back", Text: "to snapshot " + Clean(op.Name), Effect: "data is lost", Tone: red, More: []string{Clean(s.Cause)}}}
	case plan.RemoveRemnant:
		rows := []Row{{Mark: "-", Label: "remnant", Text: Clean(s.Cause), Tone: red}}
		for _, v := range op.Volumes {
			rows = append(rows, Row{Mark: "-", Label: "volume", Text: Clean(v), Effect: "data is lost", Tone: red})
		}
		return rows
	}
	return nil
}
