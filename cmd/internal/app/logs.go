package app

import (
	"context"
	"log/slog"
	"sync/atomic"

	"github.com/felhom/tend/cmd/internal/config"
)

// logs are what all loggers of a process follow, also after it read its configuration anew.
type logs struct {
	level slog.LevelVar
	json  atomic.Bool
}

func (l *logs) set(c *config.Config) {
	l.level.Set(c.LogLevel)
	l.json.Store(c.LogFormat == "json")
}

// A logHandler writes in the form that is asked for when a line is written.
type logHandler struct {
	logs       *logs
	text, json slog.Handler
}

func (h logHandler) now() slog.Handler {
	if h.logs.json.Load() {
		return h.json
	}
	return h.text
}

func (h logHandler) Enabled(_ context.Context, l slog.Level) bool { return l >= h.logs.level.Level() }

func (h logHandler) Handle(ctx context.Context, r slog.Record) error { return h.now().Handle(ctx, r) }

func (h logHandler) WithAttrs(a []slog.Attr) slog.Handler {
	return logHandler{h.logs, h.text.WithAttrs(a), h.json.WithAttrs(a)}
}

func (h logHandler) WithGroup(name string) slog.Handler {
	return logHandler{h.logs, h.text.WithGroup(name), h.json.WithGroup(name)}
}
