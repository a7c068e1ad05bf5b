module github.com/felhom/tend

go 1.26.0
