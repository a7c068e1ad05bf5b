package server

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/felhom/tend/cmd/internal/agent/report"
	"github.com/felhom/tend/proxmox"
)

// A badRequest is a request that makes no sense, in words for whoever sent it.
type badRequest string

func (e badRequest) Error() string { return string(e) }

// act passes a request on to the agent: POST /actions/reconcile, suspend, resume or approve, as a form. Programs get
// 204, people the page that they came from.
func (s *Server) act(w http.ResponseWriter, r *http.Request) {
	a := actorOf(r)
	switch {
	case !a.may && wantsPage(r):
		http.Redirect(w, r, "/login", http.StatusSeeOther)
		return
	case !a.may:
		w.Header().Set("WWW-Authenticate", `Bearer realm="tend"`)
		s.fail(w, r, http.StatusUnauthorized, "This needs the token.", "Send it as Authorization: Bearer TOKEN, or use the local socket.")
		return
	case s.o.Actions == nil:
		s.fail(w, r, http.StatusNotImplemented, "This agent takes no requests.", "")
		return
	}
	action := r.PathValue("action")
	err := r.ParseForm()
	if err == nil {
		err = s.do(r, action, a.name)
	}
	var bad badRequest
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		s.fail(w, r, http.StatusRequestEntityTooLarge, "The request is too large.", "")
	case errors.As(err, &bad):
		s.fail(w, r, http.StatusBadRequest, err.Error(), "")
	case errors.Is(err, errNoAction):
		s.fail(w, r, http.StatusNotFound, err.Error(), "")
	case err != nil:
		s.fail(w, r, http.StatusConflict, "The agent will not: "+err.Error(), "")
	default:
		s.o.Log.Info("asked for", "action", action, "by", a.name, "guest", r.PostFormValue("id"), "plan", r.PostFormValue("hash"))
		if !wantsPage(r) {
			w.WriteHeader(http.StatusNoContent)
			return
		}
		to := ownPath(r.PostFormValue("to"))
		sep := "?"
		if strings.Contains(to, "?") {
			sep = "&"
		}
		http.Redirect(w, r, to+sep+"done="+action, http.StatusSeeOther)
	}
}

var errNoAction = errors.New("there is no such action")

// done are the sentences that tell a person that a request was passed on.
var done = map[string]string{
	"reconcile": "A run begins now.",
	"suspend":   "Suspended.",
	"resume":    "Resumed.",
	"approve":   "Approved: the plan is carried out with the next run.",
}

func (s *Server) do(r *http.Request, action, by string) error {
	switch action {
	case "reconcile":
		return s.o.Actions.Reconcile(r.Context(), by)
	case "suspend":
		p, err := suspensionOf(r, by)
		if err != nil {
			return err
		}
		return s.o.Actions.Suspend(r.Context(), p)
	case "resume":
		id, err := vmid(r.PostFormValue("id"))
		if err != nil {
			return err
		}
		return s.o.Actions.Resume(r.Context(), id, by)
	case "approve":
		hash := r.PostFormValue("hash")
		if hash == "" {
			return badRequest("Say which plan: its hash is missing.")
		}
		return s.o.Actions.Approve(r.Context(), hash, by)
	}
	return errNoAction
}

// vmid reads the container that a form names; empty: all.
func vmid(text string) (proxmox.VMID, error) {
	if text == "" {
		return 0, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < int(proxmox.MinVMID) || n > int(proxmox.MaxVMID) {
		return 0, badRequest(fmt.Sprintf("%q is no VMID: write 100 or more.", text))
	}
	return proxmox.VMID(n), nil
}

// maxReason is how long the reason of a suspension may be, in characters.
const maxReason = 200

// suspensionOf reads a form: id, reason, and for (a time such as 4h) or until (a moment); neither: until resumed.
func suspensionOf(r *http.Request, by string) (report.Suspension, error) {
	now := time.Now()
	out := report.Suspension{Since: now, By: by, Reason: strings.TrimSpace(r.PostFormValue("reason"))}
	var err error
	if out.ID, err = vmid(r.PostFormValue("id")); err != nil {
		return out, err
	}
	if out.Reason == "" || utf8.RuneCountInString(out.Reason) > maxReason {
		return out, badRequest(fmt.Sprintf("Write a reason, at most %d characters: others will wonder why nothing happens.", maxReason))
	}
	if text := r.PostFormValue("for"); text != "" {
		d, err := time.ParseDuration(text)
		if err != nil || d <= 0 {
			return out, badRequest(fmt.Sprintf("%q is no time: write it as 4h or 30m.", text))
		}
		out.Until = now.Add(d)
	}
	if text := r.PostFormValue("until"); text != "" {
		if out.Until, err = time.Parse(time.RFC3339, text); err != nil || !out.Until.After(now) {
			return out, badRequest(fmt.Sprintf("%q is no moment to come: write it as 2026-03-01T18:00:00Z.", text))
		}
	}
	return out, nil
}
