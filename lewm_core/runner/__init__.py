"""What run_all.sh and the command line call: plan, execute, progress, download."""
