"""What a study found, as pages: report, gallery, comparison. It only looks."""
