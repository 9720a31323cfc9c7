/** A figure that is to be at most its aim: a ratio, or what its unit says. */
export type Figure = {
  readonly name: string;
  /** Or why there is none. */
  readonly value: number | string;
  /** Half of the pairs that it is the median of lie within these. */
  readonly between?: readonly [low: number, high: number];
  readonly aim: number;
  readonly unit?: string;
};

/** Is it at most its aim? Undecided if the aim lies within what half of the pairs vary by. */
export function verdictOf(value: number, { aim, between = [value, value] }: Figure): 'met' | 'missed' | 'undecided' {
  const [low, high] = between;
  if (high <= aim) return 'met';
  return low > aim ? 'missed' : 'undecided';
}

const WIDTH = 860;
const ROW = 30;
const TOP = 44;
/** Where bars begin, and how long one is that is just at its aim. */
const LEFT = 430;
const AT_AIM = 220;
/** A bar that would be longer is cut. */
const LONGEST = 340;

/** The colours are the reader's: an SVG in an `<img>` follows the system's light or dark mode. */
const STYLE = `
    text { font: 13px system-ui, sans-serif; fill: #1f2328; }
    .met { fill: #2da44e; } .missed { fill: #cf222e; } .undecided { fill: #bf8700; } .aim { stroke: #59636e; stroke-dasharray: 4 3; }
    @media (prefers-color-scheme: dark) {
      text { fill: #e6edf3; } .met { fill: #3fb950; } .missed { fill: #f85149; } .undecided { fill: #d29922; } .aim { stroke: #9198a1; }
    }`;

/** An SVG of horizontal bars: each figure as a part of its aim, and the aim as a line. Those without a value are left out. */
export function drawChart(figures: readonly Figure[]): string {
  const rows = figures.flatMap((figure) =>
    typeof figure.value === 'number' ? [{ ...figure, value: figure.value }] : [],
  );
  const height = TOP + rows.length * ROW + 12;
  const bars = rows.map((figure, i) => {
    const { name, value, aim, unit = '' } = figure;
    const y = TOP + i * ROW;
    const length = Math.max(1, Math.min(LONGEST, (value / aim) * AT_AIM));
    const label = `${value.toFixed(2)}${unit} of ${aim}${unit}`;
    return [
      `  <text x="${LEFT - 10}" y="${y + 15}" text-anchor="end">${escapeText(name)}</text>`,
      `  <rect class="${verdictOf(value, figure)}" x="${LEFT}" y="${y}" width="${length.toFixed(1)}" height="20" rx="3"/>`,
      `  <text x="${(LEFT + length + 8).toFixed(1)}" y="${y + 15}">${escapeText(label)}</text>`,
    ].join('\n');
  });
  const x = LEFT + AT_AIM;
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" width="${WIDTH}" height="${height}" role="img">
  <title>Each figure as a part of its aim; shorter is better</title>
  <style>${STYLE}
  </style>
${bars.join('\n')}
  <line class="aim" x1="${x}" y1="${TOP - 12}" x2="${x}" y2="${height - 8}"/>
  <text x="${x}" y="${TOP - 20}" text-anchor="middle">aim</text>
</svg>
`;
}

function escapeText(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
}
