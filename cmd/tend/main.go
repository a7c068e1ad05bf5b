// Command tend keeps the containers of a Proxmox VE cluster as a spec says.
package main

import (
	"context"
	"os"

	"github.com/felhom/tend/cmd/internal/app"
)

func main() {
	os.Exit(app.Run(context.Background(), os.Args[1:], app.System()))
}
