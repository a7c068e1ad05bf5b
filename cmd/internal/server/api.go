package server

import (
	"encoding/json"
	"errors"
	"net/http"
	"strconv"

	"github.com/felhom/tend/cmd/internal/agent/report"
	"github.com/felhom/tend/cmd/internal/history"
)

// maxPage is how many runs one answer has at most.
const maxPage = 200

func (s *Server) reportJSON(w http.ResponseWriter, r *http.Request) {
	rep, _ := s.o.Board.Report()
	if rep == nil {
		s.fail(w, r, http.StatusServiceUnavailable, "The agent is starting.", "")
		return
	}
	writeJSON(w, rep)
}

// A Runs is a page of the history, newest first. More says that there are older ones.
type Runs struct {
	Runs []report.Run `json:"runs"`
	More bool         `json:"more"`
}

func (s *Server) runsJSON(w http.ResponseWriter, r *http.Request) {
	page, err := s.pageOf(r, maxPage)
	if err != nil {
		s.failRead(w, r, err)
		return
	}
	writeJSON(w, page)
}

func (s *Server) runJSON(w http.ResponseWriter, r *http.Request) {
	rec, err := s.recordOf(r)
	if err != nil {
		s.failRead(w, r, err)
		return
	}
	writeJSON(w, rec)
}

// pageOf reads the page of the history that a request names by before and n.
func (s *Server) pageOf(r *http.Request, most int) (Runs, error) {
	if s.o.History == nil {
		return Runs{Runs: []report.Run{}}, nil
	}
	before, _ := strconv.ParseUint(r.FormValue("before"), 10, 63)
	n, _ := strconv.Atoi(r.FormValue("n"))
	if n <= 0 || n > most {
		n = most
	}
	runs, err := s.o.History.Runs(before, n+1)
	if err != nil {
		return Runs{}, err
	}
	more := len(runs) > n
	return Runs{runs[:min(n, len(runs))], more}, nil
}

func (s *Server) recordOf(r *http.Request) (history.Record, error) {
	id, err := strconv.ParseUint(r.PathValue("id"), 10, 63)
	if err != nil || s.o.History == nil {
		return history.Record{}, history.ErrNotFound
	}
	return s.o.History.Run(id)
}

func (s *Server) failRead(w http.ResponseWriter, r *http.Request, err error) {
	if errors.Is(err, history.ErrNotFound) {
		s.fail(w, r, http.StatusNotFound, "There is no such run.", "The history is bounded: it may have been dropped.")
		return
	}
	s.o.Log.Warn("the history cannot be read", "err", err)
	s.fail(w, r, http.StatusInternalServerError, "The history cannot be read.", "The agent's log says why.")
}

func writeJSON(w http.ResponseWriter, v any) {
	data, err := json.Marshal(v)
	if err != nil {
		plain(w, http.StatusInternalServerError, "encode the answer: "+err.Error())
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(append(data, '\n'))
}

// A problem is what programs are told when something is refused.
type problem struct {
	Error string `json:"error"`
	Hint  string `json:"hint,omitempty"`
}

// fail tells people on a page and programs in JSON why there is nothing else.
func (s *Server) fail(w http.ResponseWriter, r *http.Request, code int, what, hint string) {
	if wantsPage(r) {
		d := s.data(r, http.StatusText(code), "")
		d.Message = messageData{Code: code, What: what, Hint: hint}
		s.pages.write(w, code, "message", d)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(problem{what, hint})
}

func (s *Server) notFound(w http.ResponseWriter, r *http.Request) {
	s.fail(w, r, http.StatusNotFound, "There is no such page.", "")
}
