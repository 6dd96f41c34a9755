package servercli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/ekskey/ekskey/internal/mapping"
)

// newMapper returns the chain of backends: the entries of the configuration, the
// aws-auth file, the creator. The returned function follows changes until its context
// ends.
func newMapper(c *config, log *slog.Logger, registry prometheus.Registerer) (*mapping.Chain, func(context.Context), error) {
	s := &c.server
	follow := func(context.Context) {}
	set, err := mapping.ParseServer(s.node, mapping.Options{
		Backend: backendFile, Partition: s.partition, ReservedPrefixes: s.reservedPrefixes[backendFile],
	})
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", c.path, err)
	}
	alarm := alarmTo(log)
	for _, p := range set.Problems() {
		alarm(p)
	}
	links := []mapping.Link{{Name: backendFile, Mapper: set}}
	if s.awsAuthFile != "" {
		file, err := mapping.NewAWSAuthFile(mapping.AWSAuthFileConfig{
			Path: s.awsAuthFile,
			Options: mapping.Options{
				Backend: backendAWSAuth, Partition: s.partition, ReservedPrefixes: s.reservedPrefixes[backendAWSAuth],
			},
			Alarm: alarm,
		})
		if err != nil {
			return nil, nil, fmt.Errorf("reading server.awsAuthFile: %w", err)
		}
		registerFileMetrics(registry, file)
		follow = file.Run
		links = append(links, mapping.Link{Name: backendAWSAuth, Mapper: file})
	}
	if s.creator != "" {
		creator, err := mapping.NewCreator(s.creator)
		if err != nil {
			return nil, nil, fmt.Errorf("%s: server.creator: %w", c.path, err)
		}
		links = append(links, mapping.Link{Name: "creator", Mapper: creator})
	}
	return mapping.NewChain(links...), follow, nil
}

// alarmTo logs problems of a mapping: an error if something is not used, a warning if
// it is used but questionable.
func alarmTo(log *slog.Logger) func(error) {
	return func(err error) {
		var p mapping.Problem
		switch {
		case !errors.As(err, &p):
			log.Error("mapping", "problem", err.Error())
		case p.Dropped:
			log.Error("mapping", "problem", p.Error(), "code", string(p.Code))
		default:
			log.Warn("questionable mapping", "problem", p.Error(), "code", string(p.Code))
		}
	}
}

func registerFileMetrics(r prometheus.Registerer, file *mapping.AWSAuthFile) {
	gauge := func(name, help string, value func(mapping.FileStats) float64) {
		r.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help},
			func() float64 { return value(file.Stats()) }))
	}
	gauge("ekskey_aws_auth_entries", "Entries of the aws-auth text in force.",
		func(s mapping.FileStats) float64 { return float64(s.Entries) })
	gauge("ekskey_aws_auth_problems", "Entries dropped or doubtful in the aws-auth text in force.",
		func(s mapping.FileStats) float64 { return float64(s.Problems) })
	gauge("ekskey_aws_auth_stale", "1 while the file cannot be used and an older text is in force.",
		func(s mapping.FileStats) float64 {
			if s.Stale {
				return 1
			}
			return 0
		})
}
