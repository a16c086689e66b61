package store

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// A way is how rows of a table are written: one by one, or many by one statement that takes an array of PostgreSQL for
// each field, and that fails (division by zero) if not each row touches one.
type way struct {
	one, many string
	kinds     []string // of the fields
}

// A bulk is rows that are written in the same way.
type bulk struct {
	way
	rows  [][]any
	other error // if one of them touches no row
}

// fields are columns with their types: "serial text, number bigint".
type fields string

func (f fields) split() (names, kinds []string) {
	for field := range strings.SplitSeq(string(f), ", ") {
		name, kind, _ := strings.Cut(field, " ")
		names, kinds = append(names, name), append(kinds, kind)
	}
	return names, kinds
}

// typed are columns with their types: pairs of a type and the columns that have it; the others are texts.
func (c columns) typed(pairs ...string) fields {
	kinds := map[string]string{}
	for pair := range slices.Chunk(pairs, 2) {
		for name := range strings.SplitSeq(pair[1], ", ") {
			kinds[name] = pair[0]
		}
	}
	var all []string
	for name := range strings.SplitSeq(string(c), ", ") {
		all = append(all, name+" "+cmp.Or(kinds[name], "text"))
	}
	return fields(strings.Join(all, ", "))
}

// arrays selects many rows out of their placeholders: "SELECT unnest($1::text[]), unnest($2::bigint[])". PostgreSQL takes these apart side by side as it goes;
// one unnest of all of them, as a table, would be written down in memory first, array by array, which takes a third of an UPDATE of sixteen rows.
func arrays(kinds []string) string {
	all := make([]string, len(kinds))
	for i, kind := range kinds {
		all[i] = fmt.Sprintf("unnest($%d::%s[])", i+1, kind)
	}
	return "SELECT " + strings.Join(all, ", ")
}

// counted is a statement that fails unless it touches as many rows as its arrays are long.
func counted(statement string, kinds []string) string {
	return fmt.Sprintf("WITH touched AS (%s RETURNING 1) SELECT 1 / CAST(count(*) = cardinality($1::%s[]) AS INTEGER) FROM touched", statement, kinds[0])
}

// inserting writes new rows; one that is there already stays, and is not touched.
func inserting(table string, all fields) way {
	w := adding(table, all)
	w.many = counted(w.many, w.kinds)
	return w
}

// adding writes new rows; that some are there already is as good, and so its bulks have no other error.
func adding(table string, all fields) way {
	names, kinds := all.split()
	c := columns(strings.Join(names, ", "))
	many := "INSERT INTO " + table + " (" + string(c) + ") " + arrays(kinds) + " ON CONFLICT DO NOTHING"
	return way{c.insert(table), many, kinds}
}

// updating sets the columns of rows that have the values of where, and for which also holds.
func updating(table string, set, where fields, also string) way {
	return update(table, set, "", where, also)
}

// setting sets columns of rows that have the values of where, and others to what is the same for all: "enabled = TRUE".
func setting(table string, set fields, fixed string, where fields) way {
	return update(table, set, ", "+fixed, where, "")
}

func update(table string, set fields, fixed string, where fields, also string) way {
	names, kinds := set.split()
	whereNames, whereKinds := where.split()
	kinds = append(kinds, whereKinds...)
	var sets, values, conditions, matches, numbered []string
	for i, name := range names {
		sets = append(sets, fmt.Sprintf("%s = $%d", name, i+1))
		values = append(values, fmt.Sprintf("%s = new.f%d", name, i+1))
	}
	for i, name := range whereNames {
		conditions = append(conditions, fmt.Sprintf("%s = $%d", name, len(names)+i+1))
		matches = append(matches, fmt.Sprintf("%s.%s = new.f%d", table, name, len(names)+i+1))
	}
	for i := range kinds {
		numbered = append(numbered, fmt.Sprintf("f%d", i+1))
	}
	if also != "" {
		conditions, matches = append(conditions, also), append(matches, also)
	}
	one := "UPDATE " + table + " SET " + strings.Join(sets, ", ") + fixed + " WHERE " + strings.Join(conditions, " AND ")
	many := "UPDATE " + table + " SET " + strings.Join(values, ", ") + fixed + " FROM (" + arrays(kinds) + ") AS new(" + strings.Join(numbered, ", ") + ") WHERE " +
		strings.Join(matches, " AND ")
	return way{one, counted(many, kinds), kinds}
}

// deleting removes rows by the values of columns.
func deleting(table string, where fields) way {
	names, kinds := where.split()
	var conditions []string
	for i, name := range names {
		conditions = append(conditions, fmt.Sprintf("%s = $%d", name, i+1))
	}
	begin := "DELETE FROM " + table + " WHERE "
	one, many := begin+strings.Join(conditions, " AND "), begin+names[0]+" = ANY($1::"+kinds[0]+"[])"
	if len(names) > 1 {
		many = begin + "(" + strings.Join(names, ", ") + ") IN (" + arrays(kinds) + ")"
	}
	return way{one, counted(many, kinds), kinds}
}
