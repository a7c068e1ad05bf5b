package conformance

import (
	"fmt"
	"strings"
)

// An Exception is a step whose recorded answer cannot be matched for a good reason.
type Exception struct {
	Scenario string `json:"scenario"`
	Step     int    `json:"step"` // from 1
	Reason   string `json:"reason"`
}

// exceptionShare is how much of a scenario exceptions may take: one step in so many.
const exceptionShare = 20

// Except marks the steps of results that are excepted and returns what is wrong with the exceptions: they name
// a step that is not compared, or twice the same, give no reason, take more than 5 % of a scenario, or, so that
// the share that matches only rises, the step matches without them.
func Except(results []Result, exceptions []Exception) []string {
	var faults []string
	count := map[string]int{}
	for _, x := range exceptions {
		at := fmt.Sprintf("exception %s#%d: ", x.Scenario, x.Step)
		st := findStep(results, x)
		switch {
		case st == nil:
			faults = append(faults, at+"no such step is compared")
			continue
		case strings.TrimSpace(x.Reason) == "":
			faults = append(faults, at+"it gives no reason")
		case st.Exception != "":
			faults = append(faults, at+"it stands twice")
		case len(st.Differences) == 0:
			faults = append(faults, at+"the step matches: remove it")
		}
		st.Exception = x.Reason
		count[x.Scenario]++
	}
	for _, r := range results {
		if n := count[r.Scenario]; n*exceptionShare > len(r.Steps) {
			faults = append(faults, fmt.Sprintf("%s: %d exceptions in %d steps are more than 5 %%", r.Scenario, n, len(r.Steps)))
		}
	}
	return faults
}

func findStep(results []Result, x Exception) *StepResult {
	for _, r := range results {
		if r.Scenario != x.Scenario {
			continue
		}
		for i := range r.Steps {
			if r.Steps[i].Step == x.Step {
				return &r.Steps[i]
			}
		}
	}
	return nil
}
