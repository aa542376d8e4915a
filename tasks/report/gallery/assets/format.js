"use strict";
// Values as people read them.

Gallery.format = {
  // One formatter for all: `toLocaleString` makes a new one for each of a thousand counts.
  number: (() => {
    const formatter = new Intl.NumberFormat("en");
    return (value) => formatter.format(value);
  })(),

  cost: (usd) => {
    if (usd === null) return "cost unknown";
    const text = usd.toFixed(6).replace(/0{1,4}$/, "");
    return `$${text}`;
  },

  size: (width, height) => (width && height ? `${width}×${height}` : null),

  bytes: (count) => {
    if ((count ?? null) === null) return null;
    return count < 1e6 ? `${(count / 1e3).toFixed(1)} kB` : `${(count / 1e6).toFixed(1)} MB`;
  },

  seconds: (ms) => (ms === null ? null : `${(ms / 1000).toFixed(2)} s`),

  instant: (us) => ((us ?? null) === null ? null : new Date(us / 1000).toLocaleString("en-GB", { dateStyle: "medium", timeStyle: "medium" })),

  // A file of a batch; the batch's place is a URL already.
  url: (batch, path) => batch.place + path.split("/").map(encodeURIComponent).join("/"),
};

// As the search compares texts: without case, accents and the two ways to write one letter.
Gallery.searchable = (text) => {
  // Most prompts are ASCII, for which half of the work is nothing.
  const plain = /^[\x00-\x7f]*$/.test(text) ? text : text.normalize("NFKD").replace(/\p{M}/gu, "");
  return plain.toLowerCase();
};

// Text beside what the page's own size of 15 px asks for: a reader's browser may be set to larger letters.
Gallery.textScale = () => parseFloat(getComputedStyle(document.documentElement).fontSize) / 15;

// The batch's folder as a command takes it: a name that begins with a dash would be an option.
Gallery.folderOf = ({ summary }) => (summary.out.startsWith("-") ? `./${summary.out}` : summary.out);

// A command with these words for a shell of this batch's machine.
Gallery.command = (...words) =>
  ["imagen", ...words.map((word) => (/^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'"'"'`)}'`))].join(" ");
