"""The report: verdicts with everything behind them, as one page, a Markdown table and lines for the terminal. No torch."""
