"use strict";
// A job: its facts stay in the columns of its script and are read when somebody asks, so that fifty thousand jobs cost
// little more than their scripts.

{
  // A column is a list of values, or distinct values and which of them each row has, or the rows that have a value.
  const read = (column, row) => {
    if (!column) return null;
    const { values, at, rows } = column;
    if (at) return values[at[row]];
    if (!rows) return values[row];
    column.places ??= new Map(rows.map((each, place) => [each, place]));
    return values[column.places.get(row)] ?? null;
  };

  const ratioOf = (job) => {
    if (job.width && job.height) return job.width / job.height;
    const { width, height, aspect_ratio } = job.asked;
    if (width && height) return width / height;
    const [across, down] = (aspect_ratio ?? "1:1").split(":");
    return across / down;
  };

  const present = (pairs, row) => pairs.map(([name, column]) => [name, read(column, row)]).filter(([, value]) => value !== null);

  class Job {
    constructor(batch, part, row) {
      this.batch = batch;
      this.part = part;
      this.row = row;
      // Every layout asks for the shape of all jobs.
      this.ratio = ratioOf(this);
    }

    // What the row asked for, without what it left open.
    get asked() {
      return Object.fromEntries(present(this.part.asked, this.row));
    }

    get prompt() {
      return read(this.part.prompts, this.row);
    }

    get id() {
      return read(this.part.ids, this.row);
    }

    get extra() {
      return new Map(present(this.part.extra, this.row));
    }

    get scores() {
      return new Map(present(this.part.scores, this.row));
    }

    get hasDetails() {
      return Boolean(this.part.known);
    }

    get outcome() {
      return this.trouble ? (this.thumbnail ? "changed" : "missing") : this.state;
    }

    get model() {
      return this.model_name || this.backend_type;
    }

    get name() {
      return (this.id ?? "") + (this.sample ? ` #${this.sample}` : "");
    }
  }

  // Every script has the same columns, and each is a fact by its own name.
  const NAMES = { model: "model_name", row: "lines" };
  const define = (columns, place) => {
    for (const column of Object.keys(columns)) {
      const name = NAMES[column] ?? column;
      if (name in Job.prototype) continue;
      Object.defineProperty(Job.prototype, name, {
        get() {
          return read(this.part[place]?.[column], this.row);
        },
      });
    }
  };

  Gallery.jobsOf = (batch, part) => {
    define(part.columns, "columns");
    part.prompts = part.asked.prompt;
    part.ids = part.asked.id;
    part.asked = Object.entries(part.asked);
    part.jobs = Array.from({ length: part.count }, (_, row) => new Job(batch, part, row));
    return part.jobs;
  };

  Gallery.addDetails = (part, { columns }) => {
    define(columns, "known");
    part.known = columns;
  };

  const parts = new WeakMap();

  // The scripts that jobs came in, in their order.
  Gallery.partsOf = (jobs) => {
    // Asked for once per column, of lists that do not change.
    if (!parts.has(jobs)) parts.set(jobs, [...new Set(jobs.map(({ part }) => part))]);
    return parts.get(jobs);
  };

  // The names of all columns of one place, `extra` or `scores`, in the order in which they come.
  Gallery.columnNames = (jobs, place) => [...new Set(Gallery.partsOf(jobs).flatMap((part) => part[place].map(([name]) => name)))];

  const find = (part, place, name) => part[place].find(([each]) => each === name)?.[1];

  // The value of one such column, without a look at all the others.
  Gallery.readColumn = (job, place, name) => read(find(job.part, place, name), job.row);

  Gallery.readColumns = (job, place) => job.part[place].map(([, column]) => read(column, job.row));

  // The place of each job's value among the distinct ones (-1: none); null where these are more than `most`.
  Gallery.indexColumn = (jobs, place, name, most) => {
    const places = new Map();
    const placeOf = (value) => {
      if (value === null) return -1;
      if (!places.has(value)) places.set(value, places.size);
      return places.get(value);
    };
    const at = new Int32Array(jobs.length).fill(-1);
    let first = 0;
    for (const part of Gallery.partsOf(jobs)) {
      const column = find(part, place, name);
      // One look at each distinct value, where the script has a table of them.
      const known = column?.at && column.values.map(placeOf);
      for (let row = 0; column && row < part.count; row += 1) {
        at[first + row] = known ? known[column.at[row]] : placeOf(read(column, row));
        if (places.size > most) return null;
      }
      first += part.count;
    }
    return { places, at };
  };
}
