"""From trials to answers: cells, summary, ranking, sensitivity, comparison."""
